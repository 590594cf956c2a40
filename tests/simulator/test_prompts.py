"""Canary: DSPy's adapters still word their prompts as the simulator reads them."""

from typing import Any

import dspy
import pytest
from dspy.adapters.baml_adapter import BAMLAdapter
from dspy.lm15 import Message, Request

from dspex_testkit.simulator import prompts

BROKEN = "DSPy words its prompts otherwise: mend dspex_testkit/simulator/prompts.py"
SECTIONS = (prompts._INPUTS, prompts._OUTPUTS, prompts._STRUCTURE, prompts._OBJECTIVE)
WORDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "chat": (dspy.ChatAdapter(), SECTIONS),
    "json": (dspy.JSONAdapter(), (*SECTIONS, prompts._JSON_OUTPUTS)),
    "xml": (dspy.XMLAdapter(), SECTIONS),
    "baml": (BAMLAdapter(), (*SECTIONS, prompts._BAML_OUTPUT)),
}


class QA(dspy.Signature):  # type: ignore[misc]
    """Answer."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()
    score: int = dspy.OutputField(ge=0)


@pytest.mark.parametrize("adapter", WORDS)
def test_an_adapters_prompt_says_what_is_read_in_it(adapter: str) -> None:
    """Its headings, one by one; then the signature and the inputs that they lead to."""
    asked, words = WORDS[adapter]
    system, user = asked.format(QA, [], {"question": "how?"})

    assert [text for text in words if text not in system["content"]] == [], BROKEN
    assert prompts._ASKS_FOR in user["content"], BROKEN
    found = prompts.read_prompt(Request(model="m", system=system["content"], messages=(Message.user(user["content"]),)))
    assert found is not None, BROKEN
    # BAML's prompt wants what JSON's does, so that either may answer it.
    assert isinstance(asked, type(found.adapter)), BROKEN
    assert dict(found.inputs) == {"question": "how?"}, BROKEN
    assert [(name, field.annotation) for name, field in found.signature.output_fields.items()] == [
        ("answer", str),
        ("score", int),
    ], BROKEN
