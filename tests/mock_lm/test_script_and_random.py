"""Scripts in order, and random answers that do not depend on order."""

import dspy
import pytest

from dspex_testkit.calls import CALLER_SETTING, Caller, LocalCounters
from dspex_testkit.errors import AnswerError, ScriptExhaustedError
from dspex_testkit.mock_lm import MockLM


def _answers(lm: MockLM, *questions: str) -> list[str]:
    with dspy.context(lm=lm):
        return [dspy.Predict("question -> answer")(question=question).answer for question in questions]


def test_a_script_answers_in_order_and_then_fails() -> None:
    """An exhausted script says how many answers it had."""
    lm = MockLM.scripted(["a", {"answer": "b"}])
    assert _answers(lm, "1", "2") == ["a", "b"]
    with pytest.raises(ScriptExhaustedError, match=r"2 answers.*number 3"):
        _answers(lm, "3")


@pytest.mark.parametrize(("on_exhausted", "expected"), [("cycle", ["a", "b", "a"]), ("last", ["a", "b", "b"])])
def test_a_script_may_go_on(on_exhausted: str, expected: list[str]) -> None:
    """By beginning again or by repeating itself."""
    assert _answers(MockLM.scripted(["a", "b"], on_exhausted=on_exhausted), "1", "2", "3") == expected


def test_positions_are_kept_where_the_caller_wants_them() -> None:
    """Two mocks on one state share a script's position."""
    state = LocalCounters()
    assert _answers(MockLM.scripted(["a", "b"], state=state), "1") == ["a"]
    assert _answers(MockLM.scripted(["a", "b"], state=state), "1") == ["b"]


def test_random_answers_have_the_form_of_the_design_note() -> None:
    """`mock_<1..1000>` for a text."""
    for answer in _answers(MockLM.random(seed=1), *map(str, range(30))):
        number = int(answer.removeprefix("mock_"))
        assert 1 <= number <= 1000


def test_random_answers_do_not_depend_on_the_order_of_requests() -> None:
    """The same requests get the same answers, in whatever order they come."""
    forward = _answers(MockLM.random(seed=7), "a", "b", "c", "a")
    backward = _answers(MockLM.random(seed=7), "a", "c", "a", "b")
    assert forward == [backward[0], backward[3], backward[1], backward[2]]
    assert forward[0] != forward[3]


def test_what_other_sessions_ask_does_not_matter() -> None:
    """Occurrences are counted per session and program."""

    def ask(lm: MockLM, session: str) -> str:
        with dspy.context(**{CALLER_SETTING: Caller(journal=lm.journal, session_id=session)}):
            return _answers(lm, "a")[0]

    busy, calm = MockLM.random(seed=7), MockLM.random(seed=7)
    assert [ask(busy, session) for session in ("x", "y", "x")] == [ask(calm, "x"), ask(calm, "y"), ask(calm, "x")]
    alone = MockLM.random(seed=7)
    assert ask(alone, "y") == ask(MockLM.random(seed=7), "x")


def test_the_seed_is_told_where_something_fails() -> None:
    """In the message of the error, and wherever the LM is printed."""
    rule = {"answer": {"no_such_field": 1}}
    lm = MockLM.random(seed=41, rules=[rule])
    with pytest.raises(AnswerError, match="seed is 41"):
        _answers(lm, "a")
    assert repr(lm) == "MockLM('mock/mock', mode='random', seed=41)"


def test_another_seed_gives_other_answers() -> None:
    """And the same seed the same."""
    assert _answers(MockLM.random(seed=1), "a", "b") == _answers(MockLM.random(seed=1), "a", "b")
    assert _answers(MockLM.random(seed=1), "a", "b") != _answers(MockLM.random(seed=2), "a", "b")
