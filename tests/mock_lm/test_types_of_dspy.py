"""DSPy's own types as inputs and outputs."""

from typing import Any

import dspy
import pytest
from dspy.adapters.types.decision import Choice, Noul
from dspy.experimental import Citations

from dspex_testkit.mock_lm import MockLM

INPUTS: dict[str, Any] = {
    "History": dspy.History(messages=[{"question": "x", "answer": "y"}]),
    "Image": dspy.Image("data:image/png;base64,iVBORw0KGgo="),
    "Audio": dspy.Audio(data="AAAA", audio_format="wav"),
    "File": dspy.File(file_data="data:text/plain;base64,AAAA"),
}


def _signature(**fields: Any) -> Any:
    return dspy.Signature({name: (kind, field) for name, (kind, field) in fields.items()}, "Answer.")


@pytest.mark.parametrize("kind", INPUTS)
def test_an_input_of_this_type_is_answered(kind: str) -> None:
    """Whatever it is, the other inputs find their answer and the journal stays JSON."""
    lm = MockLM.deterministic({"q": "Paris"})
    signature = _signature(
        question=(str, dspy.InputField()),
        given=(getattr(dspy, kind), dspy.InputField()),
        answer=(str, dspy.OutputField()),
    )
    with dspy.context(lm=lm):
        assert dspy.Predict(signature)(question="q", given=INPUTS[kind]).answer == "Paris"
    assert isinstance(lm.journal[0].to_dict()["inputs"]["given"], str | dict | list)


def test_a_file_with_a_name_is_taken() -> None:
    """DSPy's canonical request has no place for the name, and real programs send one all the same."""
    signature = _signature(given=(dspy.File, dspy.InputField()), answer=(str, dspy.OutputField()))
    given = dspy.File(file_data="data:text/plain;base64,AAAA", filename="x.txt")
    with dspy.context(lm=MockLM.deterministic(default="Paris")):
        assert dspy.Predict(signature)(given=given).answer == "Paris"


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter])
def test_code_reasoning_citations_and_decisions_are_made_up(adapter: Any) -> None:
    """Outputs of DSPy's own types, rendered as text."""
    signature = _signature(
        question=(str, dspy.InputField()),
        thinking=(dspy.Reasoning, dspy.OutputField()),
        code=(dspy.Code["python"], dspy.OutputField()),
        sources=(Citations, dspy.OutputField()),
        is_true=(Noul, dspy.OutputField(desc="whether it is so")),
        which=(Choice[("a", "first"), ("b", "second")], dspy.OutputField(desc="which one")),
    )
    with dspy.context(lm=MockLM(), adapter=adapter()):
        prediction = dspy.Predict(signature)(question="q")
    assert prediction.code.code.startswith("mock_code")
    assert len(prediction.sources) == 2
    assert prediction.is_true.value in (True, False)
    assert prediction.which.value in ("a", "b")


def test_native_citations_are_left_out() -> None:
    """DSPy takes the field away for Anthropic's models and cannot read citations back: there are none."""
    signature = _signature(
        question=(str, dspy.InputField()), answer=(str, dspy.OutputField()), sources=(Citations, dspy.OutputField())
    )
    with dspy.context(lm=MockLM(provider="anthropic", model="claude-3")):
        assert dspy.Predict(signature)(question="q").sources is None
