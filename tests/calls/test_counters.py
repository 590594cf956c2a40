"""Counters belong to one assignment of an LM config each, and not for ever."""

from dspex_testkit.calls import CountersByLM


def test_each_assignment_counts_for_itself() -> None:
    """The position in one script is nobody else's."""
    counters = CountersByLM()

    assert [counters.of(lm_id).next_index("script") for lm_id in ("a", "b", "a")] == [0, 0, 1]


def test_an_assignment_that_was_let_go_begins_anew() -> None:
    """To forget one that never counted is no error."""
    counters = CountersByLM()
    counters.of("a").next_index("script")

    counters.forget("a")
    counters.forget("never seen")

    assert counters.of("a").next_index("script") == 0


def test_what_was_longest_unused_goes_first_when_there_are_too_many() -> None:
    """Throw-away sessions with an LM each must not pile up."""
    counters = CountersByLM(most=2)
    for lm_id in ("a", "b", "a", "c"):
        counters.of(lm_id).next_index("script")

    assert counters.of("a").next_index("script") == 2
    assert counters.of("b").next_index("script") == 0
