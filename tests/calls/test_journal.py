"""The journal: bounded, ordered, shared."""

import copy
import json
import threading
from decimal import Decimal

from dspex_testkit.calls import Journal, LMCall, LMChange, LocalCounters, Prompt, Scope, Usage


def call(**fields: object) -> LMCall:
    """A call with these fields."""
    return LMCall(**{"provider": "mock", "model": "m", **fields})  # type: ignore[arg-type]


def test_numbers_count_from_one_and_go_on_after_the_bound() -> None:
    """The oldest calls go first; their numbers are not given again."""
    journal = Journal(max_calls=3)
    for _ in range(5):
        journal.record(call())

    assert [kept.seq for kept in journal] == [3, 4, 5]
    assert len(journal) == 3


def test_calls_recorded_by_many_threads_are_all_there() -> None:
    """No number is given twice and none is left out."""
    journal = Journal()
    threads = [threading.Thread(target=lambda: [journal.record(call()) for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [kept.seq for kept in journal] == list(range(1, 1601))


def test_filters_narrow_together() -> None:
    """Session, program, number and limit; None means calls without a session."""
    journal = Journal()
    for session, program in (("a", "p"), (None, "p"), ("a", "q"), ("a", "p")):
        journal.record(call(session_id=session, program_id=program))

    assert [c.seq for c in journal.calls(session_id="a", program_id="p")] == [1, 4]
    assert [c.seq for c in journal.calls(session_id=None)] == [2]
    assert [c.seq for c in journal.calls(since=1, limit=2)] == [3, 4]
    assert journal.calls(limit=0) == []


def test_clearing_a_session_keeps_the_rest() -> None:
    """The number of forgotten calls is returned."""
    journal = Journal()
    for session in ("a", "b", "a"):
        journal.record(call(session_id=session))

    assert journal.clear(session_id="a") == 2
    assert [c.session_id for c in journal] == ["b"]
    assert journal.clear() == 1


def test_long_texts_are_clipped_wherever_they_stand() -> None:
    """A journal of large prompts does not hold them all; what is cut says how long it was."""
    journal = Journal(max_chars=10)

    kept = journal.record(
        call(inputs={"a": "x" * 100, "b": {"c": ["y" * 100]}}, completion="z" * 100, outputs={"n": 1})
    )

    assert kept.inputs == {"a": "x" * 10 + "… (100 characters)", "b": {"c": ["y" * 10 + "… (100 characters)"]}}
    assert kept.completion == "z" * 10 + "… (100 characters)"
    assert kept.outputs == {"n": 1}


def test_copies_share_the_journal() -> None:
    """Optimizers deep-copy programs; what the copies ask is still seen."""
    journal = Journal()

    assert copy.deepcopy(journal) is journal
    assert copy.copy(journal) is journal


def test_a_call_becomes_json() -> None:
    """Scope and cost are texts, usage is a map; nothing needs a special encoder."""
    record = call(scope=Scope.SESSION, cost=Decimal("0.0000058"), usage=Usage(input_tokens=3)).to_dict()

    assert json.loads(json.dumps(record)) == record
    assert (record["scope"], record["cost"], record["usage"]["input_tokens"]) == ("session", "0.0000058", 3)


def test_unknown_usage_is_not_zero() -> None:
    """A total is known only where both parts are."""
    assert Usage(input_tokens=3).total_tokens is None
    assert Usage(input_tokens=3, output_tokens=4).total_tokens == 7


def test_counters_never_give_an_index_twice() -> None:
    """Fetch and increment is one step, also for many threads; each key counts for itself."""
    counters = LocalCounters()
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(counters.next_index("k") for _ in range(200))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(seen) == list(range(1600))
    assert counters.next_index("other") == 0
    counters.reset()
    assert counters.next_index("k") == 0


def test_changes_share_the_numbers_of_calls_and_are_listed_apart() -> None:
    """One sequence tells what came before what; `calls` stays what it says."""
    journal = Journal()
    journal.record(call())
    journal.record_change(LMChange("configured", scope=Scope.SESSION, session_id="a"))
    journal.record(call())

    assert [kept.seq for kept in journal.calls()] == [1, 3]
    assert [(kept.seq, kept.session_id) for kept in journal.changes()] == [(2, "a")]
    assert journal.changes(session_id=None) == journal.changes(since=2) == []


def test_clearing_a_session_forgets_its_changes_too() -> None:
    """What one session configured goes with its calls; the others' stays."""
    journal = Journal()
    for session_id in ("a", "b"):
        journal.record_change(LMChange("configured", session_id=session_id))

    journal.clear(session_id="a")

    assert [kept.session_id for kept in journal.changes()] == ["b"]


def test_prompts_of_the_newest_calls_are_kept() -> None:
    """Older calls stay without theirs; whoever has one of them already keeps it whole."""
    journal = Journal(keep_prompts=True, max_prompts=2)
    first = journal.record(call(prompt=Prompt("mock/m", messages=[{"role": "user", "content": "1"}])))
    for number in (2, 3):
        journal.record(call(prompt=Prompt("mock/m", messages=[{"role": "user", "content": str(number)}])))

    assert [kept.prompt and kept.prompt.messages[0]["content"] for kept in journal] == [None, "2", "3"]
    assert first.prompt is not None
    assert (journal.keeps_prompts, Journal().keeps_prompts) == (True, False)


def test_calls_without_a_prompt_do_not_keep_older_prompts_alive() -> None:
    """An embedding between two questions changes nothing about how many prompts are held."""
    journal = Journal(keep_prompts=True, max_prompts=1)
    for prompt in (Prompt("mock/m"), None, Prompt("mock/m"), None):
        journal.record(call(prompt=prompt))

    assert [kept.prompt for kept in journal] == [None] * 4


def test_long_texts_of_prompts_and_errors_are_clipped() -> None:
    """As those of inputs and outputs are."""
    journal = Journal(max_chars=5)
    kept = journal.record(call(error="long error", prompt=Prompt("mock/m", messages=[{"content": "long text"}])))

    assert kept.error == "long … (10 characters)"
    assert kept.prompt is not None
    assert kept.prompt.messages == [{"content": "long … (9 characters)"}]
    parts = [{"type": "text", "text": "long text"}, {"type": "image"}]
    kept = journal.record(call(prompt=Prompt("mock/m", messages=[{"content": parts}])))
    assert kept.prompt is not None
    assert kept.prompt.messages[0]["content"] == [{"type": "text", "text": "long … (9 characters)"}, {"type": "image"}]


def test_a_prompt_travels_only_where_it_is_asked_for() -> None:
    """As JSON, from which it is made again."""
    kept = call(prompt=Prompt("mock/m", signature="a -> b", inputs={"a": 1}))

    assert "prompt" not in kept.to_dict()
    assert Prompt.from_dict(json.loads(json.dumps(kept.to_dict(prompt=True)))["prompt"]).inputs == {"a": 1}


def test_a_journal_is_followed_by_another_for_a_while() -> None:
    """Which numbers the calls itself, and may want their prompts."""
    own, other = Journal(), Journal(keep_prompts=True)
    other.record(call(model="earlier"))
    own.record(call(model="before"))
    with own.followed_by(other):
        assert own.keeps_prompts
        own.record(call(model="during"))
    own.record(call(model="after"))

    assert [kept.model for kept in own] == ["before", "during", "after"]
    assert [(kept.seq, kept.model) for kept in other] == [(1, "earlier"), (2, "during")]
    assert not own.keeps_prompts
