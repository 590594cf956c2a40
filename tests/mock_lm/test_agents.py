"""Agents on a mock without rules use their tools and end."""

import asyncio
from typing import Any, Literal

import dspy
import pytest

from dspex_testkit.mock_lm import Capabilities, MockLM

used: list[tuple[str, Any]] = []


def search(query: str, limit: int = 3) -> str:
    """Search."""
    used.append(("search", (query, limit)))
    return "found"


def convert(amount: float, currency: Literal["EUR", "USD"], tags: list[str]) -> str:
    """Convert."""
    used.append(("convert", (amount, currency, tags)))
    return "converted"


@pytest.fixture(autouse=True)
def _nothing_used() -> None:
    used.clear()


def _run(program: Any, lm: MockLM, asynchronous: bool, **settings: Any) -> Any:
    with dspy.context(lm=lm, **settings):
        if asynchronous:
            return asyncio.run(program.acall(question="q"))
        return program(question="q")


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter])
def test_react_calls_each_tool_once_and_finishes(adapter: Any, asynchronous: bool) -> None:
    """Arguments fit the tools' schemas; the answer is the table's."""
    lm = MockLM.deterministic({"q": "Paris"})
    program = dspy.ReAct("question -> answer", tools=[search, convert])
    prediction = _run(program, lm, asynchronous, adapter=adapter())
    assert [name for name, _ in used] == ["search", "convert"]
    assert used[1][1][1] in ("EUR", "USD")
    assert prediction.trajectory["tool_name_2"] == "finish"
    assert prediction.answer == "Paris"
    assert not any("error" in str(value).lower() for value in prediction.trajectory.values())


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_react_v2_submits_the_answer(native: bool, asynchronous: bool) -> None:
    """Each tool is called once, natively or in text, then `submit` carries the outputs."""
    lm = MockLM.deterministic({"q": "Paris"}, capabilities=Capabilities(function_calling=native))
    program = dspy.ReActV2("question -> answer, n: int", tools=[search, convert])
    prediction = _run(program, lm, asynchronous, adapter=dspy.ChatAdapter(use_native_function_calling=native))
    assert [name for name, _ in used] == ["search", "convert"]
    assert prediction.termination_reason == "submit"
    assert isinstance(prediction.n, int)


@pytest.mark.filterwarnings("ignore:ProgramOfThought is deprecated:DeprecationWarning")
def test_program_of_thought_runs_generated_code() -> None:
    """The code submits typed values; the answer is the table's."""
    lm = MockLM.deterministic({"q": "42"})
    program = dspy.ProgramOfThought("question -> answer: int", interpreter_factory=dspy.LocalInterpreter)
    assert _run(program, lm, False).answer == 42
