"""`DummyLM` in the place of DSPy's: what it takes, what it is, and each difference that the how-to names."""

import itertools
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex_testkit.errors import AnswerError, NoMatchingRuleError, ScriptExhaustedError
from dspex_testkit.mock_lm import DummyLM, MockLM

BOTH = pytest.mark.parametrize("cls", [dspy.utils.DummyLM, DummyLM])


def _ask(lm: Any, question: str = "q", signature: Any = "question -> answer", **settings: Any) -> Any:
    with dspy.context(lm=lm, **settings):
        return dspy.Predict(signature)(question=question)


@BOTH
def test_it_is_a_class(cls: Any) -> None:
    """Which tests subclass and ask for."""

    class Counting(cls):  # type: ignore[misc]
        def __init__(self, answers: Any) -> None:
            super().__init__(answers)
            self.calls = 0

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return super().__call__(*args, **kwargs)

    lm = Counting([{"answer": "red"}])
    assert isinstance(lm, cls)
    assert isinstance(lm, dspy.BaseLM)
    assert (_ask(lm).answer, lm.calls) == ("red", 1)


def test_ours_is_a_mock_lm() -> None:
    """With its journal."""
    lm = DummyLM([{"answer": "red"}])
    assert isinstance(lm, MockLM)
    _ask(lm)
    assert (lm.journal[0].rule, lm.journal[0].outputs) == ("answers[0]", {"answer": "red"})


@BOTH
def test_a_call_that_no_program_makes_gets_the_text_of_the_adapter(cls: Any) -> None:
    """Chat's, or that of the adapter which is given."""
    assert cls([{"answer": "red", "n": 2}])("hello") == ["[[ ## answer ## ]]\nred\n\n[[ ## n ## ]]\n2"]
    assert cls([{"answer": "red"}], adapter=dspy.JSONAdapter())("hello") == ['{\n  "answer": "red"\n}']


@BOTH
def test_its_conversations_can_be_looked_at(cls: Any) -> None:
    """As messages and answers, the newest last."""
    lm = cls([{"answer": "red"}, {"answer": "blue"}])
    _ask(lm)
    _ask(lm, "other")
    messages, outputs = lm.get_convo(-1)
    assert "other" in messages[-1]["content"]
    assert "blue" in outputs[0]


@BOTH
def test_several_answers_are_the_next_ones(cls: Any) -> None:
    """`n` takes as many from the list."""
    with dspy.context(lm=cls([{"answer": "red"}, {"answer": "blue"}])):
        assert dspy.Predict("question -> answer", n=2)(question="q").completions.answer == ["red", "blue"]


@BOTH
def test_a_copy_goes_on_where_its_original_is(cls: Any) -> None:
    """Programs are copied by optimizers, rollouts copy their LM."""
    lm = cls([{"answer": "red"}, {"answer": "blue"}])
    assert [_ask(lm).answer, _ask(lm.copy()).answer] == ["red", "blue"]


def test_an_iterator_may_never_end() -> None:
    """It is asked for the next answer only when a call comes."""
    lm = DummyLM(itertools.cycle([{"answer": "red"}, {"answer": "blue"}]))
    assert [_ask(lm).answer for _ in range(5)] == ["red", "blue", "red", "blue", "red"]


def test_plain_texts_are_for_the_one_output() -> None:
    """In a list and by a text of the message; whoever reads the text itself gets it as it is."""
    assert _ask(DummyLM(["red"])).answer == "red"
    assert _ask(DummyLM({"sky": "blue"}), "the sky").answer == "blue"
    assert DummyLM(["red"])("hello") == ["red"]


@pytest.mark.parametrize("nothing", [[], {}, ()])
def test_without_answers_it_must_not_be_asked(nothing: Any) -> None:
    """It makes nothing up; demos may still answer where they are followed."""
    with pytest.raises((ScriptExhaustedError, NoMatchingRuleError), match="must not be asked"):
        _ask(DummyLM(nothing))
    following = DummyLM(nothing, follow_examples=True)
    with dspy.context(lm=following):
        predict = dspy.Predict("question -> answer")
        predict.demos = [dspy.Example(question="q", answer="red")]
        assert predict(question="q").answer == "red"
        with pytest.raises((ScriptExhaustedError, NoMatchingRuleError), match="must not be asked"):
            predict(question="other")


def test_a_mock_with_an_empty_table_must_not_be_asked() -> None:
    """The same said in a spec."""
    with pytest.raises(NoMatchingRuleError, match="must not be asked"):
        _ask(MockLM.deterministic({}))


def test_it_is_saved_and_loaded_with_a_program(tmp_path: Path) -> None:
    """From its first answer; an iterator cannot say what it has."""
    program = dspy.Predict("question -> answer")
    program.lm = DummyLM([{"answer": "red"}])
    loaded = DummyLM.load_state(program.lm.dump_state())
    assert _ask(loaded).answer == "red"
    with pytest.raises(TypeError, match="iterator"):
        DummyLM(iter([{"answer": "red"}])).dump_state()


class TestDifferences:
    """Each line of the how-to's table."""

    def test_after_the_last_answer_and_without_a_match(self) -> None:
        """An error that says what was asked and what there is."""
        lm = DummyLM([{"answer": "red"}])
        _ask(lm)
        with pytest.raises(ScriptExhaustedError, match=r"has 1 answers and this is call 2.*question='q'"):
            _ask(lm)
        with pytest.raises(NoMatchingRuleError, match=r"question='q'.*'sky'"):
            _ask(DummyLM({"sky": {"answer": "blue"}}))

    @pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter])
    def test_answers_are_written_for_the_adapter_that_asks(self, adapter: Any) -> None:
        """Whatever the constructor was given."""
        assert _ask(DummyLM([{"answer": "red"}], adapter=dspy.ChatAdapter()), adapter=adapter()).answer == "red"

    def test_a_field_that_is_left_out_is_made_up(self) -> None:
        """By its type."""
        assert isinstance(_ask(DummyLM([{"answer": "x"}]), signature="question -> answer, n: int").n, int)

    def test_a_field_that_the_signature_does_not_have_is_an_error(self) -> None:
        """With the nearest."""
        with pytest.raises(AnswerError, match=r"did you mean 'answer'"):
            _ask(DummyLM([{"anwser": "x"}]))

    def test_a_value_of_the_wrong_type_is_an_error(self) -> None:
        """Naming field, type and value."""
        with pytest.raises(AnswerError, match=r"'many'.*'n'.*int"):
            _ask(DummyLM([{"n": "many"}]), signature="question -> n: int")

    def test_streams_are_words_and_tokens_are_counted(self) -> None:
        """More than one chunk, and an estimate."""
        lm = DummyLM([{"answer": "a red and a blue one"}])
        with dspy.context(lm=lm):
            program = dspy.streamify(dspy.Predict("question -> answer"), async_streaming=False)
            chunks = list(program(question="q"))
        assert len(chunks) > 3
        assert (lm.journal[0].usage.output_tokens or 0) > 0


@pytest.mark.parametrize("make", [lambda: MockLM.deterministic(default="one two three four"), MockLM])
def test_max_tokens_and_stop_are_heeded(make: Any) -> None:
    """A cut answer says so; a stop sequence is not part of it."""
    lm = make()
    whole = lm("hello")[0]
    assert lm("hello", max_tokens=2) == [whole[:8]]
    assert lm.journal[1].finish_reason == "length"
    assert lm("hello", stop=[whole[4:6]]) == [whole[:4]]
    assert lm.journal[2].finish_reason == "stop"


def test_a_program_fails_where_its_tokens_do_not_suffice() -> None:
    """As with a provider: the adapter cannot read what was cut."""
    lm = MockLM.deterministic(default="x" * 100, params={"max_tokens": 5})
    with pytest.raises(dspy.AdapterParseError):
        _ask(lm, adapter=dspy.XMLAdapter(use_json_adapter_fallback=False))
