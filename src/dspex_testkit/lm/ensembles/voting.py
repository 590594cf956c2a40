"""A majority per output field.

Two values are one vote if they are equal once normalised: texts in one Unicode form, without regard to case, repeated
blanks and closing punctuation; numbers by their value; everything else by its JSON. The value that stands is the one
that its first supporter wrote. Where values tie, the one stands whose supporters agree with most of the fields that
were decided without a tie, then the one of the earlier member; so a free text such as `reasoning`, in which no two
members agree, comes from a member that voted with the majority.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dspex_testkit.engines.values import to_json

_CLOSING = ".,;:!? "


@dataclass(frozen=True, slots=True)
class Tally:
    """How one field came out."""

    value: Any
    votes: float
    """The weight of those who gave this value."""
    of: float
    """The weight of all who gave one."""
    supporters: tuple[int, ...]
    """Positions of those who gave this value."""
    tied: bool


def vote(ballots: Sequence[Mapping[str, Any]], weights: Sequence[float], *, normalize: bool = True) -> dict[str, Tally]:
    """The majority's value of each field.

    Args:
        ballots: Values per field, one mapping per voter, in the voters' order; at least one.
        weights: The weight of each voter.
        normalize: Whether texts count as equal that differ only in case, blanks and closing punctuation.
    """
    fields = list(dict.fromkeys(name for ballot in ballots for name in ballot))
    counted = {name: _count(name, ballots, weights, normalize) for name in fields}
    clear = {name: leaders[0] for name, leaders in counted.items() if len(leaders) == 1}
    agreement = [sum(voter in tally.supporters for tally in clear.values()) for voter in range(len(ballots))]

    def standing(tally: Tally) -> tuple[int, int]:
        best = max(tally.supporters, key=lambda voter: (agreement[voter], -voter))
        return agreement[best], -best

    return {name: max(leaders, key=standing) for name, leaders in counted.items()}


def _count(name: str, ballots: Sequence[Mapping[str, Any]], weights: Sequence[float], normalize: bool) -> list[Tally]:
    """The values with most votes: one, or several that tie."""
    supporters: dict[str, list[int]] = {}
    for voter, ballot in enumerate(ballots):
        if name in ballot:
            supporters.setdefault(_normal(ballot[name], normalize), []).append(voter)
    votes = {key: sum(weights[voter] for voter in voters) for key, voters in supporters.items()}
    most = max(votes.values())
    leaders = [key for key, weight in votes.items() if weight == most]
    return [
        Tally(
            value=ballots[supporters[key][0]][name],
            votes=most,
            of=sum(votes.values()),
            supporters=tuple(supporters[key]),
            tied=len(leaders) > 1,
        )
        for key in leaders
    ]


def _plain(text: str) -> str:
    """A text in one Unicode form, without what does not make it another answer; one of punctuation alone stays."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return unicodedata.normalize("NFC", folded.rstrip(_CLOSING) or folded)


def _normal(value: Any, normalize: bool) -> str:
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int | float):
        return f"number {float(value)!r}" if abs(value) < 2**53 else f"number {value!r}"
    if isinstance(value, str):
        return f"text {_plain(value) if normalize else value}"
    return json.dumps(to_json(value), sort_keys=True, default=str)
