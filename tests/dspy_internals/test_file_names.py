"""Canaries: DSPy's canonical requests still have no place for a file's name, and take it in the type of its data."""

from typing import Any

import pytest
from dspy.lm15 import LM15Error, request_from_openai_chat

from dspex_testkit.dspy_internals.file_names import is_named, names_in_types


def _messages() -> list[Any]:
    file = {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a b.pdf"}
    return [{"role": "user", "content": [{"type": "text", "text": "Read."}, {"type": "file", "file": file}]}]


def test_a_name_is_carried_by_the_type_and_the_messages_are_as_before_afterwards() -> None:
    """Without that DSPy refuses it; should it take names one day, this room may go."""
    messages = _messages()
    with pytest.raises(LM15Error, match="filename"):
        request_from_openai_chat({"model": "m", "messages": messages})
    with names_in_types(messages):
        request = request_from_openai_chat({"model": "m", "messages": messages})
    assert request.messages[0].parts[1].media_type == "application/pdf;name=a%20b.pdf"
    assert is_named(request.messages[0].parts[1].media_type)
    assert messages == _messages()


def test_messages_without_names_stay_the_very_list() -> None:
    """And what is no message of an adapter is left to DSPy to refuse."""
    plain: list[Any] = [{"role": "user", "content": "hi"}, {"role": "user", "content": [{"type": "file"}]}, "text"]
    before = list(plain)
    with names_in_types(plain):
        assert all(one is other for one, other in zip(plain, before, strict=True))
    with names_in_types(None):
        pass
