"""Tables of canned answers, and what happens where they have none."""

from typing import Any

import dspy
import pytest

from dspex_testkit.errors import AnswerError, NoMatchingRuleError
from dspex_testkit.mock_lm import MockLM

FRANCE = "What is the capital of France?"


def _ask(lm: Any, signature: Any = "question -> answer", **inputs: Any) -> Any:
    with dspy.context(lm=lm):
        return dspy.Predict(signature)(**inputs)


@pytest.mark.parametrize(
    "spec",
    [
        {"provider": "mock", "responses": {FRANCE: "Paris", "default": "mock response"}},
        {"model": "mock", "responses": {"default": {"answer": "mock response"}, FRANCE: {"answer": "Paris"}}},
        {"type": "mock", "responses": {FRANCE: "Paris", "default": "mock response"}},
    ],
)
def test_every_form_of_the_design_note_is_accepted(spec: dict[str, Any]) -> None:
    """Text or object answers, with whichever key names the mock."""
    lm = MockLM.from_spec(spec)
    assert _ask(lm, question=FRANCE).answer == "Paris"
    assert _ask(lm, question="Anything else?").answer == "mock response"
    assert [call.rule for call in lm.journal] == [f"responses[{FRANCE!r}]", "default"]


def test_a_key_may_be_the_value_of_any_input() -> None:
    """Numbers and booleans are spelled as JSON spells them."""
    lm = MockLM.deterministic({"7": "seven", "true": "yes"})
    assert _ask(lm, "context, n: int -> answer", context="c", n=7).answer == "seven"
    assert _ask(lm, "flag: bool -> answer", flag=True).answer == "yes"


def test_a_key_of_all_inputs_beats_the_value_of_one() -> None:
    """The JSON of all inputs matches whatever its spacing and order."""
    lm = MockLM.deterministic({"q": "one input", '{"question": "q", "context": "c"}': "all inputs"})
    assert _ask(lm, "context, question -> answer", context="c", question="q").answer == "all inputs"
    assert _ask(lm, "context, question -> answer", context="d", question="q").answer == "one input"


def test_a_miss_shows_what_was_asked_and_the_nearest_keys() -> None:
    """No answer is invented; the error says what to write."""
    lm = MockLM.deterministic({FRANCE: "Paris", "Who wrote Faust?": "Goethe"})
    with pytest.raises(NoMatchingRuleError) as caught:
        _ask(lm, question="what is the capital of france")
    assert "what is the capital of france" in caught.value.message
    assert caught.value.details["nearest"][0] == FRANCE
    assert "default" in caught.value.message
    assert lm.journal[-1].error == caught.value.message


def test_text_becomes_the_type_of_the_output() -> None:
    """An int field gets an int, of any size."""
    big = 2**100
    lm = MockLM.deterministic({"default": str(big)})
    assert _ask(lm, "question -> n: int", question="q").n == big


def test_a_single_value_skips_the_reasoning() -> None:
    """ChainOfThought's answer is the answer."""
    lm = MockLM.deterministic({"default": "Paris"})
    with dspy.context(lm=lm):
        prediction = dspy.ChainOfThought("question -> answer")(question="q")
    assert prediction.answer == "Paris"
    assert prediction.reasoning.startswith("mock_reasoning_")


def test_an_object_may_be_the_value_of_the_one_output() -> None:
    """A dict field is given by an object whose keys are no outputs."""
    lm = MockLM.deterministic({"default": {"a": 1}})
    assert _ask(lm, "question -> counts: dict[str, int]", question="q").counts == {"a": 1}


def test_an_unknown_field_is_refused_with_the_nearest() -> None:
    """A slip in a field's name is an error, not a lost answer."""
    lm = MockLM.deterministic({"default": {"anwser": "Paris"}})
    with pytest.raises(AnswerError, match="did you mean 'answer'"):
        _ask(lm, question="q")


def test_a_value_of_the_wrong_type_is_refused() -> None:
    """The message names field, type and value."""
    lm = MockLM.deterministic({"default": "many"})
    with pytest.raises(AnswerError, match=r"'many'.*'n'.*int"):
        _ask(lm, "question -> n: int", question="q")


def test_text_that_the_adapter_would_misread_is_refused() -> None:
    """A value with the adapter's own markup cannot arrive whole."""
    lm = MockLM.deterministic({"default": "a\n[[ ## answer ## ]]\nb"})
    with pytest.raises(AnswerError, match="ChatAdapter cannot carry"):
        _ask(lm, question="q")


def test_derived_answers_follow_from_model_signature_and_inputs() -> None:
    """Equal requests agree, different ones differ, and the field's name is in the text."""
    first = _ask(MockLM(), question="q").answer
    assert first == _ask(MockLM(), question="q").answer
    assert first.startswith("mock_answer_")
    others = [
        _ask(MockLM(model="other"), question="q").answer,
        _ask(MockLM(), question="r").answer,
        _ask(MockLM(), "question -> answer, more", question="q").answer,
    ]
    assert first not in others


def test_constraints_of_a_field_are_kept() -> None:
    """Bounds of numbers and lengths hold for derived values."""

    class Rated(dspy.Signature):  # type: ignore[misc]
        """Rate."""

        question: str = dspy.InputField()
        score: int = dspy.OutputField(ge=3, lt=5)
        ratio: float = dspy.OutputField(gt=0, le=1)
        code: str = dspy.OutputField(min_length=20, max_length=22)
        tags: list[str] = dspy.OutputField(min_length=4)

    for i in range(20):
        rated = _ask(MockLM(), Rated, question=f"q{i}")
        assert rated.score in (3, 4)
        assert 0 < rated.ratio <= 1
        assert 20 <= len(rated.code) <= 22
        assert len(rated.tags) == 4


def test_a_direct_call_is_answered_by_its_prompt() -> None:
    """No adapter is needed."""
    lm = MockLM.deterministic({"hello": "world", "default": {"a": 1}})
    assert lm("hello") == ["world"]
    assert lm("other") == ['{"a": 1}']
