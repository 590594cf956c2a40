"""The canary: DSPy's adapters still call their LM the way the capture reads it."""

import asyncio
from typing import Any

import dspy
import pytest

from dspex_testkit.dspy_internals.call_stack import Capture, current_call
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.mock_lm import engine as engine_module

BROKEN = "DSPy changed how adapters call an LM: mend dspex_testkit/dspy_internals/call_stack.py"


class QA(dspy.Signature):  # type: ignore[misc]
    """Answer."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()
    score: int = dspy.OutputField()


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[Capture]:
    """Every capture an engine was given, in order."""
    found: list[Capture] = []

    def spy() -> Any:
        context = current_call()
        assert context.capture is not None, BROKEN
        found.append(context.capture)
        return context

    monkeypatch.setattr(engine_module, "current_call", spy)
    return found


def _assert_asked(capture: Capture, adapter: type, **inputs: Any) -> None:
    assert type(capture.adapter) is adapter, BROKEN
    assert dict(capture.inputs) == inputs, BROKEN
    assert list(capture.signature.output_fields) == ["answer", "score"], BROKEN
    assert list(capture.demos) == [], BROKEN


def test_a_sync_call_is_captured(captured: list[Capture]) -> None:
    """Adapter, processed signature, demos and inputs are found above a sync call."""
    with dspy.context(lm=MockLM()):
        dspy.Predict(QA)(question="q")
    _assert_asked(captured[0], dspy.ChatAdapter, question="q")
    assert captured[0].signature is QA


def test_an_async_call_is_captured(captured: list[Capture]) -> None:
    """The same above an awaited call."""
    with dspy.context(lm=MockLM()):
        asyncio.run(dspy.Predict(QA).acall(question="q"))
    _assert_asked(captured[0], dspy.ChatAdapter, question="q")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_json_fallback_is_captured_as_json(captured: list[Capture], asynchronous: bool) -> None:
    """The retry of a failed chat answer is seen with its own adapter."""

    class Unparseable(dspy.ChatAdapter):  # type: ignore[misc]
        calls = 0

        def parse(self, signature: Any, completion: str) -> Any:
            type(self).calls += 1
            # The first parse is the mock's own check, the second the program's.
            if type(self).calls == 2:
                raise dspy.utils.exceptions.AdapterParseError("Unparseable", signature, completion)
            return super().parse(signature, completion)

    predict = dspy.Predict(QA)
    with dspy.context(lm=MockLM(), adapter=Unparseable()):
        if asynchronous:
            asyncio.run(predict.acall(question="q"))
        else:
            predict(question="q")
    _assert_asked(captured[0], Unparseable, question="q")
    _assert_asked(captured[1], dspy.JSONAdapter, question="q")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_both_calls_of_two_step_are_captured(captured: list[Capture], asynchronous: bool) -> None:
    """The draft has the program's inputs; the extraction knows the draft it belongs to."""
    lm = MockLM()
    predict = dspy.Predict(QA)
    with dspy.context(lm=lm, adapter=dspy.TwoStepAdapter(lm)):
        if asynchronous:
            asyncio.run(predict.acall(question="q"))
        else:
            predict(question="q")
    draft, extract = captured
    _assert_asked(draft, dspy.TwoStepAdapter, question="q")
    assert draft.stage == "draft", BROKEN
    assert extract.stage == "extract", BROKEN
    assert list(extract.inputs) == ["text"], BROKEN
    assert extract.outer is not None, BROKEN
    _assert_asked(extract.outer, dspy.TwoStepAdapter, question="q")
    assert extract.outer.lm is lm, BROKEN


def test_a_streamed_call_is_captured(captured: list[Capture]) -> None:
    """Streamify runs the program elsewhere; the adapter is still right above."""
    stream = dspy.streamify(dspy.Predict(QA), async_streaming=False)
    with dspy.context(lm=MockLM()):
        list(stream(question="q"))
    _assert_asked(captured[0], dspy.ChatAdapter, question="q")


def test_a_field_that_travels_natively_is_gone_from_the_signature_only(captured: list[Capture]) -> None:
    """Native reasoning leaves the processed signature and stays in the full one."""
    from dspex_testkit.mock_lm import Capabilities

    with dspy.context(lm=MockLM(capabilities=Capabilities(reasoning=True))):
        dspy.ChainOfThought("question -> answer", rationale_field_type=dspy.Reasoning)(question="q")
    assert list(captured[0].signature.output_fields) == ["answer"], BROKEN
    assert list(captured[0].full_signature.output_fields) == ["reasoning", "answer"], BROKEN


def test_an_adapter_with_a_call_of_its_own_is_captured(captured: list[Capture]) -> None:
    """It is known by its arguments, whatever it does with them."""

    class Own(dspy.ChatAdapter):  # type: ignore[misc]
        def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
            return [self.parse(signature, text) for text in lm("Anything.", **lm_kwargs)]

    with dspy.context(lm=MockLM(), adapter=Own()):
        assert isinstance(dspy.Predict(QA)(question="q").score, int)
    _assert_asked(captured[0], Own, question="q")


def test_a_call_without_an_adapter_has_no_capture() -> None:
    """A direct call is answered from its prompt."""
    lm = MockLM()
    lm("hello")
    assert lm.journal[0].signature is None
    assert lm.journal[0].inputs == {"prompt": "hello"}


def test_an_engine_in_a_plain_lm_still_finds_its_signature() -> None:
    """The engine looks for the adapter itself where no MockLM did."""
    engine = MockLM().mock_engine
    lm = dspy.LM("mock/mock", engine=engine, cache=False)
    with dspy.context(lm=lm):
        dspy.Predict(QA)(question="q")
    assert engine.journal[0].inputs == {"question": "q"}
