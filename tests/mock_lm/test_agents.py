"""Agents on a mock without rules use their tools and end."""

import asyncio
from typing import Any, Literal

import dspy
import pytest

from dspex_testkit.errors import AnswerError
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


def test_a_step_that_is_given_in_part_is_completed_as_a_step() -> None:
    """A thought alone leaves tool and arguments to be chosen together."""
    lm = MockLM.deterministic(
        {"q": "Paris"}, rules=[{"when": {"outputs": ["next_tool_name"]}, "answer": {"next_thought": "hm"}}]
    )
    prediction = _run(dspy.ReAct("question -> answer", tools=[search]), lm, False)
    assert prediction.trajectory["thought_0"] == "hm"
    assert [name for name, _ in used] == ["search"]


def test_an_answer_beside_tool_calls_is_the_answer() -> None:
    """A signature with an answer of its own gets it, and a fitting call."""

    class Use(dspy.Signature):  # type: ignore[misc]
        """Use tools."""

        question: str = dspy.InputField()
        tools: list[dspy.Tool] = dspy.InputField()
        answer: str = dspy.OutputField()
        calls: dspy.ToolCalls = dspy.OutputField()

    with dspy.context(lm=MockLM.deterministic({"q": "Paris"})):
        prediction = dspy.Predict(Use)(question="q", tools=[dspy.Tool(search)])
    assert prediction.answer == "Paris"
    assert [call.name for call in prediction.calls.tool_calls] == ["search"]


def test_a_field_of_generated_code_is_a_field_like_others() -> None:
    """Only modules that run code ask for a step."""
    with dspy.context(lm=MockLM.deterministic({"q": "print(1)"})):
        assert dspy.Predict("question -> generated_code")(question="q").generated_code == "print(1)"


class _Reached:
    """A clock on which one waits for ever, and tells that one does."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()

    def now(self) -> float:
        """Time stands still."""
        return 0.0

    def sleep(self, seconds: float) -> None:
        """Not used here."""

    async def asleep(self, seconds: float) -> None:
        """Wait until cancelled."""
        self.waiting.set()
        await asyncio.Event().wait()


def test_a_cancelled_call_is_in_the_journal() -> None:
    """Nobody waited for the answer; the call was made."""
    clock = _Reached()
    lm = MockLM.deterministic({"q": "Paris"}, latency_ms=1, clock=clock)

    async def main() -> None:
        task = asyncio.create_task(dspy.Predict("question -> answer").acall(question="q"))
        await asyncio.wait_for(clock.waiting.wait(), timeout=60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with dspy.context(lm=lm):
        asyncio.run(main())
    assert lm.journal[0].error == "abandoned: CancelledError"


def test_a_final_value_that_does_not_fit_is_refused() -> None:
    """Also where an agent submits it as the arguments of a tool."""
    program = dspy.ReActV2("question -> n: int", tools=[search])
    with pytest.raises(AnswerError, match=r"'many'.*'n'.*int"):
        _run(program, MockLM.deterministic({"q": "many"}), False)
