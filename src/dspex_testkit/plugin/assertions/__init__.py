"""Assertions on who answered, over the LM calls of a test.

Each takes calls (a `LMJournal`, or any sequence of `LMCall`) and raises an `AssertionError` whose text shows the calls
around the one that is wrong. ``program=``, ``session=`` and ``worker=`` narrow the calls that are looked at; `ANY`, the
default, does not, and None means the calls without one.

An LM is named ``provider/model``, or by its model alone.

    answering  who answered, and in which order
    isolation  whether everybody was answered by an LM that is theirs
    counting   how many calls there were, and what they came to
    selecting  which calls are looked at, and what is said where one is wrong
"""

from dspex_testkit.plugin.assertions.answering import (
    assert_answered_by,
    assert_scope,
    assert_sequence,
    assert_switched,
)
from dspex_testkit.plugin.assertions.counting import (
    assert_call_count,
    assert_cost_at_most,
    assert_no_real_lm,
    assert_tokens_at_most,
)
from dspex_testkit.plugin.assertions.isolation import assert_isolated, assert_no_fallback, assert_nothing_leaked
from dspex_testkit.plugin.assertions.selecting import ANY, By, Calls, Narrow, is_lm, select

__all__ = [
    "ANY",
    "By",
    "Calls",
    "Narrow",
    "assert_answered_by",
    "assert_call_count",
    "assert_cost_at_most",
    "assert_isolated",
    "assert_no_fallback",
    "assert_no_real_lm",
    "assert_nothing_leaked",
    "assert_scope",
    "assert_sequence",
    "assert_switched",
    "assert_tokens_at_most",
    "is_lm",
    "select",
]
