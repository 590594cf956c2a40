"""`EnsembleCall`: one call of an ensemble, from the members' requests to the journal."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dspy
from dspy.lm15 import Request
from dspy.lm15 import Usage as WireUsage

from dspex_testkit.calls import CALLER_SETTING, Caller, CallSink, LMCall
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.entry import Entry, Outcome
from dspex_testkit.engines.lm_errors import find_mock_error
from dspex_testkit.engines.responses import as_json, inputs_of, text_of
from dspex_testkit.errors import BudgetExceededError, EnsembleError
from dspex_testkit.lm.config.values import EnsembleSpec
from dspex_testkit.lm.ensembles.candidates import Candidate, brief, candidate_of
from dspex_testkit.lm.ensembles.decision import (
    Decision,
    decide_by_judge,
    decide_by_majority,
    decide_by_score,
    decide_first,
)
from dspex_testkit.lm.ensembles.failures import moves_on
from dspex_testkit.lm.ensembles.member_calls import Children, MemberCounters
from dspex_testkit.lm.members import Member
from dspex_testkit.lm.scoring import Score


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Who is asked, and how their answers become one."""

    identity: LMCall
    """What the journal says of every call of the ensemble itself."""
    spec: EnsembleSpec
    members: tuple[Member, ...]
    """What answers for each member, in order."""
    judge: Any
    """The LM that picks, for `best_of` with a judge."""
    score: Score | None
    """What weighs an answer, for `best_of` without one."""


class EnsembleCall:
    """One call of an ensemble, from the members' requests to the journal.

    Args:
        ensemble: Who is asked.
        request: What they are asked.
        caller: On whose behalf.
        capture: What the adapter knew, or None.
        journal: Where calls go that no bridge asked for.
    """

    def __init__(
        self, ensemble: Ensemble, request: Request, caller: Caller, capture: Capture | None, journal: CallSink
    ) -> None:
        self._ensemble = ensemble
        self._spec = ensemble.spec
        self._request = request
        self._caller = caller
        self._capture = capture
        self._entry = Entry(ensemble.identity, request, capture, caller, journal)
        self._call_id = secrets.token_hex(6)
        self._children = Children(self._entry.journal, self._call_id)
        self._candidates: list[Candidate] = []

    async def ask(self) -> list[Candidate]:
        """Ask the members, as the strategy says; what they answered, or why not."""
        return await (self._ask_in_turn() if self._spec.strategy == "first_success" else self._ask_all())

    async def decide(self, candidates: Sequence[Candidate]) -> Decision:
        """Decide on one answer from the members' answers so far.

        Raises:
            EnsembleError: There are too few.
        """
        answered = [candidate for candidate in candidates if candidate.answered]
        if self._spec.strategy == "first_success":
            last = candidates[-1]
            if last.response is None or (last.error is not None and moves_on(last.error, self._spec.on_errors)):
                raise self._too_few(candidates, 1)
            # An answer that cannot be read is the adapter's to complain of, which may ask again in another format.
            return decide_first(last, "first_success")
        quorum = self._spec.quorum or 1
        if len(answered) < quorum:
            raise self._too_few(candidates, quorum)
        if self._spec.strategy == "majority":
            return decide_by_majority(self._spec, answered, self._capture)
        if self._spec.strategy == "all":
            return decide_first(answered[0], "all")
        if self._ensemble.score is not None:
            return await decide_by_score(answered, self._ensemble.score, self._inputs)
        return await decide_by_judge(answered, self._ask_judge)

    def record(self, decision: Decision | None = None, *, error: str | None = None) -> None:
        """Write the ensemble's own call, after those of its members."""
        report = {
            "strategy": self._spec.strategy,
            "decided_by": None if decision is None else list(decision.members),
            "reason": None if decision is None else decision.reason,
            **({} if decision is None else decision.details),
            "members": [candidate.describe() for candidate in self._candidates],
        }
        if self._caller.reports is not None:
            self._caller.reports.append(report)
        outcome: Outcome = {
            "usage": self._children.usage,
            "cost": self._children.cost,
            "error": error,
            "call_id": self._call_id,
            "details": report,
        }
        if decision is not None:
            outcome["outputs"] = as_json(decision.outputs)
            outcome["completion"] = text_of(decision.response)
            outcome["finish_reason"] = str(decision.response.finish_reason)
            outcome["rule"] = decision.reason
        self._entry.write(outcome)

    @property
    def wire_usage(self) -> WireUsage:
        """The members' token usage added up, as the response reports it."""
        usage = self._children.usage
        return WireUsage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)

    @property
    def _seconds(self) -> float | None:
        return None if self._spec.time_limit_ms is None else self._spec.time_limit_ms / 1000

    @property
    def _inputs(self) -> dict[str, Any]:
        return inputs_of(self._capture, self._request)

    async def _ask_all(self) -> list[Candidate]:
        """Ask every member at once; those that are not there at the time limit count as failed."""
        tasks = [asyncio.create_task(self._ask(index)) for index in range(len(self._ensemble.members))]
        try:
            await asyncio.wait(tasks, timeout=self._seconds)
        finally:
            for task in tasks:
                task.cancel()
        for index, task in enumerate(tasks):
            if task.done() and not task.cancelled():
                self._candidates.append(task.result())
            else:
                self._candidates.append(self._late(index))
        await asyncio.wait(tasks)
        return self._candidates

    async def _ask_in_turn(self) -> list[Candidate]:
        """Ask one member after the other until one answers, or fails in a way that the next one is not to mend."""
        try:
            async with asyncio.timeout(self._seconds):
                for index in range(len(self._ensemble.members)):
                    candidate = await self._ask(index)
                    self._candidates.append(candidate)
                    if candidate.answered or not moves_on(_failure(candidate), self._spec.on_errors):
                        break
        except TimeoutError:
            self._candidates.append(self._late(len(self._candidates)))
        return self._candidates

    async def _ask(self, index: int) -> Candidate:
        member = self._ensemble.members[index]
        try:
            with dspy.context(**{CALLER_SETTING: self._caller_for(f"member {index}")}):
                if member.identity.engine == "function":
                    # A function may wait without a loop; the others are not to wait for it.
                    response = await asyncio.to_thread(member.complete, self._request)
                else:
                    response = await member.acomplete(self._request)
        except Exception as error:
            return Candidate(index, member.identity, error=error)
        return candidate_of(index, member.identity, response, self._capture)

    def _late(self, index: int) -> Candidate:
        """A member that had not answered at the time limit."""
        error = TimeoutError(f"no answer within the ensemble's {self._spec.time_limit_ms} ms")
        return Candidate(index, self._ensemble.members[index].identity, error=error)

    async def _ask_judge(self, answered: Sequence[Candidate]) -> int:
        from dspex_testkit.lm.ensembles.judging import pick_best

        with dspy.context(lm=self._ensemble.judge, **{CALLER_SETTING: self._caller_for("judge")}):
            return await pick_best(self._inputs, answered)

    def _caller_for(self, who: str) -> Caller:
        counters = None if self._caller.counters is None else MemberCounters(self._caller.counters, who)
        return replace(self._caller, journal=self._children, counters=counters, reports=None)

    def _too_few(self, candidates: Sequence[Candidate], wanted: int) -> EnsembleError | BudgetExceededError:
        failed = [candidate for candidate in candidates if not candidate.answered]
        for candidate in failed:
            if isinstance(refused := find_mock_error(candidate.error), BudgetExceededError):
                return refused
        reasons = "; ".join(
            f"member {c.index} ({c.identity.provider}/{c.identity.model}): {brief(_failure(c))}" for c in failed
        )
        count = len(candidates) - len(failed)
        error = EnsembleError(
            f"{count} of {len(self._ensemble.members)} members answered, {wanted} were wanted. {reasons}",
            details={"strategy": self._spec.strategy, "members": [c.describe() for c in candidates]},
        )
        error.__cause__ = failed[-1].error
        return error


def _failure(candidate: Candidate) -> BaseException:
    assert candidate.error is not None
    return candidate.error
