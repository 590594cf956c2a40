"""A majority per output field."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.lm.ensembles.voting import vote


def winner(*values: Any, weights: list[float] | None = None, normalize: bool = True) -> Any:
    """The value that stands among answers with one field."""
    ballots = [{"answer": value} for value in values]
    return vote(ballots, weights or [1.0] * len(values), normalize=normalize)["answer"].value


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("Rome", "Paris", "Paris"), "Paris"),
        (("Rome", " paris. ", "PARIS"), " paris. "),
        (("a  b", "c", "A B!"), "a  b"),
        ((1, 2, 2.0), 2),
        ((True, 1, 1), 1),
        (({"x": 1, "y": 2}, {}, {"y": 2, "x": 1}), {"x": 1, "y": 2}),
        (([1], [2], [2]), [2]),
        ((None, None, "x"), None),
    ],
)
def test_equal_values_add_up(values: tuple[Any, ...], expected: Any) -> None:
    """Case, blanks and closing punctuation do not tell texts apart; a truth value is no number."""
    assert winner(*values) == expected


def test_texts_may_be_compared_as_they_are() -> None:
    """Without normalisation `Paris` and `paris` are two answers, and the earlier one stands."""
    assert winner("Rome", "paris", "Paris", normalize=False) == "Rome"


def test_weight_counts_not_number() -> None:
    """Two light members do not outvote a heavy one."""
    assert winner("Rome", "Paris", "Paris", weights=[3, 1, 1]) == "Rome"


def test_the_earlier_member_stands_in_a_tie() -> None:
    """And the tally says that it was one."""
    tally = vote([{"answer": "b"}, {"answer": "a"}], [1, 1])["answer"]
    assert (tally.value, tally.tied, tally.votes, tally.of) == ("b", True, 1, 2)


def test_a_free_text_comes_from_a_member_of_the_majority() -> None:
    """Where nobody's reasoning agrees, the one is taken that led to the answer that stands."""
    ballots = [
        {"reasoning": "wrong way", "answer": "Rome"},
        {"reasoning": "right way", "answer": "Paris"},
        {"reasoning": "another right way", "answer": "Paris"},
    ]
    assert vote(ballots, [1, 1, 1])["reasoning"].value == "right way"


def test_fields_are_decided_one_by_one() -> None:
    """The answer may be one that no member gave as a whole."""
    ballots = [{"a": 1, "b": 1, "c": 9}, {"a": 1, "b": 2, "c": 1}, {"a": 3, "b": 2, "c": 1}]
    assert {name: tally.value for name, tally in vote(ballots, [1, 1, 1]).items()} == {"a": 1, "b": 2, "c": 1}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), st.integers())
def test_the_order_of_members_does_not_matter_without_a_tie(values: list[str], seed: int) -> None:
    """Whoever comes first, the value with most votes stands."""
    tally = vote([{"x": value} for value in values], [1.0] * len(values))["x"]
    assert tally.votes == max(values.count(value) for value in values)
    if not tally.tied:
        shuffled = random.Random(seed).sample(values, len(values))
        assert vote([{"x": value} for value in shuffled], [1.0] * len(values))["x"].value == tally.value


def test_texts_are_compared_in_one_unicode_form() -> None:
    """Composed and decomposed, full and half width, are one vote."""
    tally = vote([{"a": "caf\u00e9"}, {"a": "CAFE\u0301."}, {"a": "tea"}], [1, 1, 1])["a"]
    assert (tally.votes, tally.value) == (2, "caf\u00e9")


@pytest.mark.parametrize(("one", "other"), [("?", ""), ("!", "?"), (".", "")])
def test_a_text_of_punctuation_is_no_empty_one(one: str, other: str) -> None:
    """Only what closes a text that says something is left out."""
    assert vote([{"a": one}, {"a": other}], [1, 1])["a"].votes == 1
