"""Faults strike when they are told to, and reach the program as those of a real provider."""

import asyncio
from typing import Any, get_args

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError

from dspex_testkit.calls import CALLER_SETTING, Caller
from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.mock_lm import Capabilities, MockLM, VirtualClock, faults, retries_on
from dspex_testkit.mock_lm.fault_spec import AnswerKind, ErrorKind

ERRORS: dict[str, Any] = {
    "rate_limit": dspy.LMRateLimitError,
    "timeout": dspy.LMTimeoutError,
    "server_error": dspy.LMServerError,
    "overloaded": dspy.LMServerError,
    "auth": dspy.LMAuthError,
    "billing": dspy.LMBillingError,
    "context_length": dspy.ContextWindowExceededError,
    "invalid_request": dspy.LMInvalidRequestError,
    "unsupported_model": dspy.LMUnsupportedModelError,
    "permission": dspy.LMAuthError,
    "too_large": dspy.LMInvalidRequestError,
    "unprocessable": dspy.LMInvalidRequestError,
    "unavailable": dspy.LMServerError,
    "connection": dspy.LMTransportError,
    "dropped_stream": dspy.LMTransportError,
}


def _faulty(*faults: Any, **options: Any) -> MockLM:
    return MockLM.deterministic({"default": "fine"}, faults=list(faults), **options)


def _ask(lm: MockLM, signature: Any = "question -> answer", *, adapter: Any = None, **settings: Any) -> Any:
    adapter = adapter or dspy.ChatAdapter(use_json_adapter_fallback=False)
    with dspy.context(lm=lm, adapter=adapter, **settings):
        return dspy.Predict(signature)(question="q")


def _outcomes(lm: MockLM, count: int, **settings: Any) -> str:
    found = ""
    for _ in range(count):
        try:
            _ask(lm, **settings)
        except dspy.LMError:
            found += "x"
        else:
            found += "."
    return found


def test_every_kind_of_fault_does_something() -> None:
    """Each error has its class here, and each spoilt answer is made by a function of its own."""
    assert ERRORS.keys() == {*get_args(ErrorKind), "dropped_stream"}
    assert faults._SPOILERS.keys() == set(get_args(AnswerKind))


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_error_is_dspys_own(kind: str, asynchronous: bool) -> None:
    """The class that a real provider's failure becomes, and a trace in the journal."""
    lm = _faulty(kind)
    predict = dspy.Predict("question -> answer")
    with dspy.context(lm=lm), pytest.raises(ERRORS[kind]):
        asyncio.run(predict.acall(question="q")) if asynchronous else predict(question="q")
    assert (lm.journal[0].fault, lm.journal[0].outputs) == (kind, None)
    assert lm.journal[0].error


def test_a_rate_limit_says_when_to_come_again() -> None:
    """Message and `retry_after` arrive."""
    lm = _faulty({"kind": "rate_limit", "retry_after": 2.5, "message": "slow down"})
    with pytest.raises(dspy.LMRateLimitError, match="slow down") as caught:
        _ask(lm)
    error: Any = caught.value
    assert (error.retry_after, error.status) == (2.5, 429)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"calls": [2, 5]}, ".x..x."),
        ({"every": 3}, "..x..x"),
        ({"rate": 0.0}, "......"),
        ({"rate": 1.0}, "xxxxxx"),
        ({}, "xxxxxx"),
    ],
)
def test_a_schedule_says_which_calls_fail(fault: dict[str, Any], expected: str) -> None:
    """By number, by interval or by share."""
    assert _outcomes(_faulty({"kind": "timeout", **fault}), 6) == expected


def test_a_share_of_faults_is_the_same_for_the_same_seed() -> None:
    """And about as large as it says."""
    runs = [_outcomes(_faulty({"kind": "timeout", "rate": 0.3, "seed": seed}), 100) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert 15 < runs[0].count("x") < 45


def test_a_session_has_faults_of_its_own() -> None:
    """Other sessions neither fail nor count."""
    lm = _faulty({"kind": "timeout", "calls": [2], "session": "a"})
    of = {name: {CALLER_SETTING: Caller(journal=lm.journal, session_id=name)} for name in "ab"}
    assert [_outcomes(lm, 1, **of[name]) for name in "abba"] == [".", ".", ".", "x"]


def test_a_rule_may_answer_with_a_fault() -> None:
    """Only where it applies."""
    lm = MockLM.deterministic(
        {"default": "fine"}, rules=[{"when": {"inputs": {"question": "q"}}, "answer": {"$fault": "auth"}, "times": 1}]
    )
    assert _outcomes(lm, 2) == "x."
    assert lm.journal[0].rule == "rules[0]"


def test_a_fault_does_not_use_up_an_answer() -> None:
    """A script goes on where it was."""
    lm = MockLM.scripted(["a", "b"], faults=[{"kind": "server_error", "calls": [1]}])
    assert _outcomes(lm, 1) == "x"
    assert [_ask(lm).answer, _ask(lm).answer] == ["a", "b"]


@pytest.mark.parametrize("adapter", [dspy.JSONAdapter, dspy.XMLAdapter, dspy.ChatAdapter])
@pytest.mark.parametrize("kind", ["refusal", "content_filter", "malformed", "missing_field", "wrong_type", "empty"])
def test_a_spoilt_answer_does_not_parse(kind: str, adapter: Any) -> None:
    """The program meets the adapter's own error."""
    lm = _faulty(kind)
    if adapter is not dspy.JSONAdapter:
        adapter = lambda kept=adapter: kept(use_json_adapter_fallback=False)  # noqa: E731
    with pytest.raises(AdapterParseError):
        _ask(lm, "question -> answer, n: int", adapter=adapter())


@pytest.mark.parametrize("kind", ["malformed", "missing_field", "wrong_type", "refusal"])
def test_a_spoilt_answer_is_asked_for_again_in_json(kind: str) -> None:
    """One fault, then the fallback of DSPy's chat adapter."""
    lm = MockLM.deterministic({"default": {"n": 3}}, faults=[{"kind": kind, "calls": [1]}])
    assert _ask(lm, "question -> n: int", adapter=dspy.ChatAdapter()).n == 3
    assert [call.fault for call in lm.journal] == [kind, None]


def test_a_truncated_answer_has_its_finish_reason() -> None:
    """Half the text, and `length`."""
    lm = _faulty("truncated")
    with pytest.raises(AdapterParseError):
        _ask(lm, "question -> a, b, c")
    assert lm.journal[0].finish_reason == "length"


def test_a_broken_tool_call_names_no_tool() -> None:
    """An agent has to live with it, natively or in text."""

    def look(place: str) -> str:
        """Look."""
        return "seen"

    lm = MockLM(
        {"faults": [{"kind": "broken_tool_call", "calls": [1]}]}, capabilities=Capabilities(function_calling=True)
    )
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(use_native_function_calling=True)):
        agent = dspy.ReActV2("question -> answer", tools=[look])
        prediction = agent(question="q")
    assert prediction.termination_reason == "submit"
    assert "Unknown tool: no_such_tool" in str(prediction.history)
    react = MockLM({"faults": [{"kind": "broken_tool_call", "calls": [1]}]})
    agent = dspy.ReAct("question -> answer", tools=[look])
    chat = dspy.ChatAdapter(use_json_adapter_fallback=False)
    with dspy.context(lm=react, adapter=chat), pytest.raises(AdapterParseError):
        agent(question="q")


def test_a_dropped_stream_stops_after_its_chunks() -> None:
    """What came before the drop was heard; the program fails."""
    lm = MockLM.deterministic({"default": "one two three four"}, faults=[{"kind": "dropped_stream", "after_chunks": 6}])
    heard: list[Any] = []

    async def main() -> None:
        stream = dspy.streamify(dspy.Predict("question -> answer"))
        async for item in stream(question="q"):
            heard.append(item)

    with dspy.context(lm=lm), pytest.raises(BaseException) as caught:
        asyncio.run(main())
    assert "complete" in _texts(caught.value)
    assert not any(isinstance(item, dspy.Prediction) for item in heard)
    assert (lm.journal[0].stream_chunks, lm.journal[0].fault) == (6, "dropped_stream")


def _texts(error: BaseException) -> str:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return str(error) + "".join(map(_texts, inner))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_dspys_retries_wait_by_a_virtual_clock(asynchronous: bool) -> None:
    """Two failures, one answer, no time passed."""
    clock = VirtualClock()
    lm = _faulty(
        {"kind": "rate_limit", "calls": [1], "retry_after": 30},
        {"kind": "server_error", "calls": [2]},
        num_retries=3,
        clock=clock,
    )
    predict = dspy.Predict("question -> answer")
    with dspy.context(lm=lm), retries_on(clock):
        prediction = asyncio.run(predict.acall(question="q")) if asynchronous else predict(question="q")
    assert prediction.answer == "fine"
    assert clock.slept == [30.0, 2]
    assert [call.fault for call in lm.journal] == ["rate_limit", "server_error", None]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("timout", "unknown fault 'timout' (did you mean 'timeout'?)"),
        ({"kind": "timeout", "call": [1]}, "call: Extra inputs are not permitted (did you mean 'calls'?)"),
        ({"kind": "timeout", "calls": [0]}, "counted from 1"),
        ({"kind": "timeout", "rate": 2}, "less than or equal to 1"),
        ({"kind": "timeout", "rate": 0.5, "every": 2}, "contradict each other"),
        (3, "a fault is a kind"),
    ],
)
def test_a_fault_that_cannot_be_used_says_why(fault: Any, message: str) -> None:
    """At construction, naming the fault."""
    with pytest.raises(InvalidMockSpecError) as caught:
        MockLM({"faults": [fault]})
    assert message in caught.value.message
    assert "faults[0]" in caught.value.message
