"""The assertions over LM calls, and the words in which they fail."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from dspex_testkit.calls import LMCall, LMChange, Scope, Usage
from dspex_testkit.plugin import assertions
from dspex_testkit.plugin.introspection import explain
from dspex_testkit.plugin.journal import LMJournal


def call(model: str, **more: Any) -> LMCall:
    """A call of one of OpenAI's models, by the global scope unless said otherwise."""
    return LMCall(provider="openai", model=model, **{"scope": Scope.GLOBAL, "program_id": "qa", **more})


def journal(*calls: LMCall, changes: tuple[LMChange, ...] = ()) -> LMJournal:
    """A journal of these calls."""
    return LMJournal(lambda: (calls, changes), lambda: None)


def failure(assertion: Callable[..., None], *args: Any, **kwargs: Any) -> str:
    """What an assertion says that fails."""
    with pytest.raises(AssertionError) as raised:
        assertion(*args, **kwargs)
    return str(raised.value)


def test_a_failure_shows_the_calls_around_the_deviation() -> None:
    """A small table: which call, on which worker, for whom, what was expected, what came, and which scope decided."""
    calls = [call("a", seq=1), call("b", seq=2, session_id="alice", scope=Scope.SESSION, worker_id="w1"), call("a")]

    text = failure(journal(*calls).assert_switched, "openai/a", "openai/c", "openai/a")

    assert text == (
        "expected openai/a → openai/c → openai/a, but it went openai/a → openai/b → openai/a\n"
        "\n"
        "   call  worker  session  program  expected  actual    scope\n"
        "   1     -       -        qa       openai/a  openai/a  global\n"
        ">  2     w1      alice    qa       openai/c  openai/b  session\n"
        "   3     -       -        qa       openai/a  openai/a  global"
    )


def test_only_calls_near_the_deviation_are_shown() -> None:
    """A long journal does not bury what is wrong."""
    text = failure(journal(*[call("a")] * 20, call("b"), *[call("a")] * 20).assert_answered_by, "openai/a")

    rows = text.splitlines()[3:]
    assert [row.split()[0] for row in rows] == ["18", "19", "20", ">", "22", "23", "24"]
    assert rows[3].split()[1] == "21"


def test_a_missing_call_has_a_row_of_its_own() -> None:
    """A sequence that ends too early says what it waits for."""
    text = failure(journal(call("a")).assert_sequence, "a", "b")

    assert text.startswith("call 2: expected b, got no call")
    assert text.splitlines()[-1].split() == [">", "2", "b", "(no", "call)"]


def test_an_lm_is_named_by_model_or_in_any_spelling_of_its_provider() -> None:
    """`gpt-4o`, `openai/gpt-4o`; and `gemini/…`, as DSPy writes it, for Google's."""
    journal(call("gpt-4o")).assert_answered_by("gpt-4o")
    journal(call("gpt-4o")).assert_answered_by("openai/gpt-4o", scope="global")
    google = LMCall(provider="google", model="gemini-pro")
    journal(google).assert_answered_by("gemini/gemini-pro")
    assert not assertions.is_lm(google, "nobody/gemini-pro")
    assert not assertions.is_lm(google, "openai/gemini-pro")


def test_calls_are_narrowed_to_program_session_and_worker() -> None:
    """Each assertion looks at the calls that it is told to look at; None means those without."""
    calls = journal(
        call("a", program_id="one", worker_id="w1"),
        call("b", program_id="two", worker_id="w2", session_id="alice"),
        call("a", program_id="one", worker_id="w1"),
    )

    calls.assert_switched("a", program="one")
    calls.assert_answered_by("b", session="alice")
    calls.assert_sequence("a", "a", session=None)
    calls.assert_call_count(1, worker="w2")
    calls.assert_scope("global")
    assert "of program 'three'" in failure(calls.assert_answered_by, "a", program="three")
    assert "was not decided by scope session" in failure(calls.assert_scope, "session", worker="w1")


def test_an_lm_that_answers_outside_its_scope_has_leaked() -> None:
    """One session's LM may not answer another, nor a program's LM another program, nor an execution's a second one."""
    alice = call("a", session_id="alice", scope=Scope.SESSION, lm_id="1")
    journal(alice, alice).assert_nothing_leaked()

    leaked = call("a", session_id="bob", scope=Scope.SESSION, lm_id="1")
    text = failure(journal(alice, leaked).assert_nothing_leaked)
    assert text.startswith("the LM openai/a of session 'alice' answered session 'bob'")
    one = call("p", program_id="one", scope=Scope.PROGRAM, lm_id="2")
    two = call("p", program_id="two", scope=Scope.PROGRAM, lm_id="2")
    assert "of program 'one' answered program 'two'" in failure(journal(one, two).assert_nothing_leaked)
    configured = LMChange("configured", scope=Scope.SESSION, session_id="carol", lm_id="1")
    assert "of session 'carol'" in failure(journal(alice, changes=(configured,)).assert_nothing_leaked)


def test_an_lm_with_a_name_may_answer_wherever_it_was_given() -> None:
    """A named LM belongs to everybody who refers to it."""
    defined = LMChange("defined", name="fast", lm_id="7")
    calls = [call("a", session_id=name, scope=Scope.SESSION, lm_id="7") for name in ("alice", "bob")]

    journal(*calls, changes=(defined,)).assert_nothing_leaked()


def test_sessions_are_isolated_when_none_meets_anothers_lm() -> None:
    """With a table of who may be answered by what, or without one."""
    calls = journal(call("a", session_id="alice"), call("b", session_id="bob"))

    calls.assert_isolated()
    calls.assert_isolated({"alice": "a", "bob": ["b", "c"]})
    assert "session 'bob' was answered by openai/b, not by c" in failure(calls.assert_isolated, {"bob": "c"})
    assert "no LM call of session 'carol'" in failure(calls.assert_isolated, {"carol": "c"})
    mixed = journal(call("a", session_id="alice"), call("a", session_id="bob"))
    assert "answered session 'alice' and session 'bob'" in failure(mixed.assert_isolated)
    assert "answered worker 'w1' and worker 'w2'" in failure(
        journal(call("a", worker_id="w1"), call("a", worker_id="w2")).assert_isolated, by="worker"
    )


def test_a_fallback_is_an_answer_of_a_wider_scope_for_a_session_with_an_lm() -> None:
    """Before it had one, and for others, the wider scope may answer."""
    given = LMChange("configured", scope=Scope.SESSION, session_id="s", lm={"provider": "openai", "model": "b"}, seq=2)
    early, late = call("a", session_id="s", seq=1), call("a", session_id="s", seq=3)

    journal(early, call("a", session_id="t", seq=4), changes=(given,)).assert_no_fallback()
    text = failure(journal(early, late, changes=(given,)).assert_no_fallback)
    assert text.startswith("session 's' has openai/b, but scope global answered for it")


def test_cost_and_tokens_have_budgets() -> None:
    """Exact, and an unknown price is not nothing."""
    calls = journal(*[call("a", cost=Decimal("0.1"), usage=Usage(input_tokens=10, output_tokens=5))] * 3)

    calls.assert_cost_at_most("0.3")
    calls.assert_tokens_at_most(45)
    assert "expected at most 0.29 US dollars, got 0.3" in failure(calls.assert_cost_at_most, 0.29)
    assert "expected at most 44 tokens, got 45" in failure(calls.assert_tokens_at_most, 44)
    assert "the price of openai/a is not known" in failure(journal(call("a")).assert_cost_at_most, 1)
    assert (calls.cost, calls.tokens) == (Decimal("0.3"), 45)


def test_members_of_an_ensemble_are_charged_and_the_ensemble_counts() -> None:
    """Who answered is the ensemble; who is paid are its members."""
    paid, in_all = Usage(input_tokens=10, output_tokens=5), Usage(input_tokens=20, output_tokens=10)
    ensemble = LMCall("ensemble", "majority", engine="ensemble", call_id="1", cost=Decimal(2), usage=in_all)
    calls = journal(*[call("a", parent_id="1", cost=Decimal(1), usage=paid)] * 2, ensemble)

    calls.assert_sequence("ensemble/majority")
    calls.assert_call_count(1)
    calls.assert_cost_at_most(2)
    calls.assert_tokens_at_most(30)
    assert (calls.cost, calls.tokens) == (Decimal(2), 30)


def test_a_real_lm_is_noticed() -> None:
    """A call that no mock answered."""
    journal(call("a")).assert_no_real_lm()

    assert "call 1 asked the real openai/a" in failure(journal(call("a", mocked=False)).assert_no_real_lm)


def test_a_plain_assert_says_how_calls_differ() -> None:
    """Pytest shows the fields of calls, and the first call in which two lists differ."""
    lines = explain("==", call("a"), call("b", session_id="s"))
    assert lines is not None
    assert lines[1:] == ["  model: 'a' != 'b'", "  session_id: None != 's'"]
    lists = explain("==", journal(call("a"), call("b")), [call("a"), call("c")])
    assert lists is not None
    assert lists[:2] == ["2 LM calls == 2", "  first difference at call 2"]
    assert explain("in", call("a"), [call("b")]) is None
    assert explain("==", "a", "b") is None
