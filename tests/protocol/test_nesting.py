"""How deep lists and maps may lie in each other: one bound for everything that a client sends."""

import pytest

from dspex_testkit.errors import MalformedMessageError
from dspex_testkit.limits import NESTING
from dspex_testkit.protocol import codec, parse_request

AROUND = 2
"""The request itself, and its arguments."""


def request(value: str) -> bytes:
    """A request with a JSON text as an argument."""
    return f'{{"id": 7, "command": "ping", "args": {{"x": {value}}}}}'.encode()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_message_is_nested_up_to_the_bound_and_no_further(opening: str, closing: str) -> None:
    """The error names the bound, and the id that waits for an answer."""
    most = NESTING - AROUND
    parse_request(request(opening * most + "1" + closing * most))

    with pytest.raises(MalformedMessageError, match=f"deeper than {NESTING} levels") as refused:
        parse_request(request(opening * (most + 1) + "1" + closing * (most + 1)))

    assert refused.value.request_id == 7


def test_brackets_within_texts_are_no_levels() -> None:
    """However many of them a prompt has."""
    text = "[" * 500 + "{" * 500

    assert codec.loads(codec.dumps([text, {text: text}])) == [text, {text: text}]


def test_a_wide_message_is_not_deep() -> None:
    """Thousands of small lists beside each other."""
    wide = [{"a": [1, []]} for _ in range(5_000)]

    assert codec.loads(codec.dumps(wide)) == wide
