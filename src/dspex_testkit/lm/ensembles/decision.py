"""How the answers of an ensemble's members become one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dspy.lm15 import Response

from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.errors import EnsembleError
from dspex_testkit.lm.config.values import EnsembleSpec
from dspex_testkit.lm.ensembles.candidates import Candidate
from dspex_testkit.lm.ensembles.voting import vote
from dspex_testkit.lm.scoring import Score
from dspex_testkit.mock_lm.completing import Completed
from dspex_testkit.mock_lm.rendering import render

Judge = Callable[[Sequence[Candidate]], Awaitable[int]]
"""Gives the position of the best candidate."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The one answer, and how it came about."""

    response: Response
    outputs: Mapping[str, Any]
    reason: str
    """For the journal, in a few words."""
    members: tuple[int, ...] = ()
    """Those whose answer it is."""
    details: Mapping[str, Any] = field(default_factory=dict)


def decide_by_majority(spec: EnsembleSpec, answered: Sequence[Candidate], capture: Capture | None) -> Decision:
    """Each field gets the value that most members gave it, by weight.

    Raises:
        EnsembleError: Only members without weight answered.
    """
    weights = [1.0 if spec.weights is None else spec.weights[candidate.index] for candidate in answered]
    voters = [candidate for candidate, weight in zip(answered, weights, strict=True) if weight]
    if not voters:
        raise EnsembleError("Only members of weight 0 answered; give a weight to at least one that does")
    ballots = [candidate.outputs or {} for candidate in voters]
    tallies = vote(ballots, [weight for weight in weights if weight], normalize=spec.normalize)
    values = {name: tally.value for name, tally in tallies.items()}
    exact = next((c for c in voters if dict(c.outputs or {}) == values), None)
    details = {
        name: {
            "votes": tally.votes,
            "of": tally.of,
            "tied": tally.tied,
            "members": [voters[voter].index for voter in tally.supporters],
        }
        for name, tally in tallies.items()
    }
    counts = ", ".join(f"{name} {tally.votes:g} of {tally.of:g}" for name, tally in tallies.items())
    return Decision(
        response=_answer(exact or voters[0], None if exact else values, capture),
        outputs=values,
        reason=f"majority: {counts}",
        members=_supporters([{voters[voter].index for voter in tally.supporters} for tally in tallies.values()]),
        details={"votes": details},
    )


async def decide_by_score(answered: Sequence[Candidate], score: Score, inputs: Mapping[str, Any]) -> Decision:
    """The answer with the greatest score; the earlier member's where they are equal.

    Raises:
        EnsembleError: The function failed, or gave no number.
    """
    scores = []
    for candidate in answered:
        try:
            given = await asyncio.to_thread(score, dict(candidate.outputs or {}), dict(inputs))
            scores.append(float(given))
        except Exception as error:
            raise EnsembleError(
                f"The scoring function failed on the answer of member {candidate.index}: "
                f"{type(error).__name__}: {error}"
            ) from error
    best = max(range(len(answered)), key=lambda position: (scores[position], -position))
    numbers = {str(candidate.index): found for candidate, found in zip(answered, scores, strict=True)}
    return _chosen(answered[best], f"best_of: score {scores[best]:g}", {"scores": numbers})


async def decide_by_judge(answered: Sequence[Candidate], judge: Judge) -> Decision:
    """The answer that the judge picks.

    Raises:
        EnsembleError: The judge picked none of them.
    """
    if len(answered) == 1:
        return _chosen(answered[0], "best_of: the only answer", {})
    best = await judge(answered)
    if not 0 <= best < len(answered):
        raise EnsembleError(f"The judge picked candidate {best + 1}, but there are {len(answered)}, counted from 1")
    return _chosen(answered[best], "best_of: the judge's choice", {"judge": answered[best].index})


def decide_first(candidate: Candidate, strategy: str) -> Decision:
    """The answer of one member, as it is."""
    return _chosen(candidate, f"{strategy}: member {candidate.index}", {})


def _supporters(by_field: Sequence[set[int]]) -> tuple[int, ...]:
    """The members whose answer it is in every field; if there are none, those who decided any."""
    return tuple(sorted(set.intersection(*by_field) or set.union(*by_field)))


def _chosen(candidate: Candidate, reason: str, details: Mapping[str, Any]) -> Decision:
    assert candidate.response is not None
    return Decision(candidate.response, candidate.outputs or {}, reason, (candidate.index,), details)


def _answer(base: Candidate, values: Mapping[str, Any] | None, capture: Capture | None) -> Response:
    """A member's answer as it is, or, where no member gave all of these values, one that is written for them."""
    assert base.response is not None
    if values is None or capture is None:
        return base.response
    message, _ = render(capture, Completed(values, given=tuple(values)))
    return replace(base.response, message=message)
