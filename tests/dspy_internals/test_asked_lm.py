"""Canary: the frame of DSPy's by which the network guard names an LM still lies above everything that an LM does."""

import asyncio
from typing import Any

import dspy
import pytest

from dspex_testkit.dspy_internals.asked_lm import asked_lm
from dspex_testkit.dspy_internals.call_stack import current_call
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.mock_lm import engine as engine_module


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_lm_that_is_asked_is_named(monkeypatch: pytest.MonkeyPatch, asynchronous: bool) -> None:
    """While it answers, and at no other time."""
    seen = []

    def look() -> Any:
        seen.append(asked_lm())
        return current_call()

    monkeypatch.setattr(engine_module, "current_call", look)
    predict = dspy.Predict("question -> answer")
    with dspy.context(lm=MockLM(provider="openai", model="gpt-4o")):
        if asynchronous:
            asyncio.run(predict.acall(question="?"))
        else:
            predict(question="?")

    assert set(seen) == {"openai/gpt-4o"}, (
        "DSPy changed how LMs are asked: mend dspex_testkit/dspy_internals/asked_lm.py"
    )
    assert asked_lm() is None
