"""`EnsemblePart`: asks the members side by side or in turn, and makes one answer of theirs.

Each member's calls are journaled as children of one call of the ensemble. A member that fails is reported in that
call's details, whatever the others answer.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import dspy
from dspy.lm15 import Request, Response
from dspy.lm15 import Usage as WireUsage

from dspex_testkit.calls import CALLER_SETTING, Caller, CallSink, Counters, Journal, LMCall, Usage
from dspex_testkit.errors import BudgetExceededError, EnsembleError
from dspex_testkit.lm.config import EnsembleSpec, LMConfig
from dspex_testkit.lm.ensembles.candidates import Candidate, brief, candidate_of
from dspex_testkit.lm.ensembles.decision import (
    Decision,
    decide_by_judge,
    decide_by_majority,
    decide_by_score,
    decide_first,
)
from dspex_testkit.lm.ensembles.failures import moves_on
from dspex_testkit.lm.loops import Loops
from dspex_testkit.lm.parts import Part
from dspex_testkit.lm.scoring import Score, load_score
from dspex_testkit.mock_lm.answering import caller_now
from dspex_testkit.mock_lm.capture import Capture, current_call
from dspex_testkit.mock_lm.failures import as_lm_error, find_mock_error
from dspex_testkit.mock_lm.prompts import prompt_for
from dspex_testkit.mock_lm.responses import as_json, inputs_of, signature_of, text_of


class EnsemblePart:
    """Several parts as one.

    Args:
        config: The ensemble's config.
        members: What answers for each member, in order.
        judge: The LM that picks, for `best_of` with a judge.
        loops: Where synchronous callers have the members asked.
    """

    def __init__(self, config: LMConfig, members: Sequence[Part], judge: Any, loops: Loops) -> None:
        assert config.ensemble is not None
        mocked = all(member.identity.mocked for member in members)
        self.identity = LMCall(provider=config.provider, model=config.model, mocked=mocked, engine="ensemble")
        self.journal = Journal()
        self._spec: EnsembleSpec = config.ensemble
        self._members = list(members)
        self._judge = judge
        self._score: Score | None = None if self._spec.score is None else load_score(self._spec.score)
        self._loops = loops

    def complete(self, request: Request) -> Response:
        """Ask the members, on a loop of their own."""
        response: Response = self._loops.run(lambda: self.acomplete(request))
        return response

    async def acomplete(self, request: Request) -> Response:
        """Ask the members.

        Raises:
            EnsembleError: Too few of them answered.
        """
        call = _EnsembleCall(self, request, caller_now(), current_call().capture)
        try:
            candidates = await call.ask_in_turn() if self._spec.strategy == "first_success" else await call.ask_all()
            decision = await call.decide(candidates)
        except BaseException as error:
            call.record(error=brief(error))
            if isinstance(error, EnsembleError | BudgetExceededError):
                raise as_lm_error(error, model=request.model) from error.__cause__
            raise
        call.record(decision)
        return replace(decision.response, usage=call.wire_usage)

    def close(self) -> None:
        """The members belong to the factory, which closes them."""


class _EnsembleCall:
    """One call of an ensemble, from the members' requests to the journal."""

    def __init__(self, part: EnsemblePart, request: Request, caller: Caller, capture: Capture | None) -> None:
        self._part = part
        self._spec = part._spec
        self._request = request
        self._caller = caller
        self._capture = capture
        self._started = time.perf_counter()
        self._call_id = secrets.token_hex(6)
        journal = caller.journal if caller.journal is not None else part.journal
        self._children = _Children(journal, self._call_id)
        self._candidates: list[Candidate] = []

    async def ask_all(self) -> list[Candidate]:
        """Ask every member at once; those that are not there at the time limit count as failed."""
        tasks = [asyncio.create_task(self._ask(index)) for index in range(len(self._part._members))]
        try:
            await asyncio.wait(tasks, timeout=self._seconds)
        finally:
            for task in tasks:
                task.cancel()
        for index, task in enumerate(tasks):
            if task.done() and not task.cancelled():
                self._candidates.append(task.result())
            else:
                late = TimeoutError(f"no answer within the ensemble's {self._spec.time_limit_ms} ms")
                self._candidates.append(Candidate(index, self._part._members[index].identity, error=late))
        await asyncio.wait(tasks)
        return self._candidates

    async def ask_in_turn(self) -> list[Candidate]:
        """Ask one member after the other until one answers, or fails in a way that the next one is not to mend."""
        try:
            async with asyncio.timeout(self._seconds):
                for index in range(len(self._part._members)):
                    candidate = await self._ask(index)
                    self._candidates.append(candidate)
                    if candidate.answered or not moves_on(_failure(candidate), self._spec.on_errors):
                        break
        except TimeoutError:
            index = len(self._candidates)
            late = TimeoutError(f"no answer within the ensemble's {self._spec.time_limit_ms} ms")
            self._candidates.append(Candidate(index, self._part._members[index].identity, error=late))
        return self._candidates

    async def decide(self, candidates: Sequence[Candidate]) -> Decision:
        """Make one answer of those at hand.

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
        if self._part._score is not None:
            return await decide_by_score(answered, self._part._score, self._inputs)
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
        self._children.sink.record(
            replace(
                self._caller.sign(self._part.identity),
                signature=signature_of(self._capture),
                inputs=self._inputs,
                prompt=prompt_for(self._children, self._part.identity.provider_model, self._request, self._capture),
                outputs=None if decision is None else as_json(decision.outputs),
                completion=None if decision is None else text_of(decision.response),
                finish_reason=None if decision is None else str(decision.response.finish_reason),
                usage=self._children.usage,
                cost=self._children.cost,
                rule=None if decision is None else decision.reason,
                error=error,
                latency_ms=(time.perf_counter() - self._started) * 1000,
                call_id=self._call_id,
                details=report,
                time=time.time(),
            )
        )

    @property
    def wire_usage(self) -> WireUsage:
        """What the members used together, for whoever reads the response."""
        usage = self._children.usage
        return WireUsage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)

    @property
    def _seconds(self) -> float | None:
        return None if self._spec.time_limit_ms is None else self._spec.time_limit_ms / 1000

    @property
    def _inputs(self) -> dict[str, Any]:
        return inputs_of(self._capture, self._request)

    async def _ask(self, index: int) -> Candidate:
        part = self._part._members[index]
        try:
            with dspy.context(**{CALLER_SETTING: self._caller_for(f"member {index}")}):
                if part.identity.engine == "function":
                    # A function may wait without a loop; the others are not to wait for it.
                    response = await asyncio.to_thread(part.complete, self._request)
                else:
                    response = await part.acomplete(self._request)
        except Exception as error:
            return Candidate(index, part.identity, error=error)
        return candidate_of(index, part.identity, response, self._capture)

    async def _ask_judge(self, answered: Sequence[Candidate]) -> int:
        from dspex_testkit.lm.ensembles.judging import pick_best

        with dspy.context(lm=self._part._judge, **{CALLER_SETTING: self._caller_for("judge")}):
            return await pick_best(self._inputs, answered)

    def _caller_for(self, who: str) -> Caller:
        counters = None if self._caller.counters is None else _Apart(self._caller.counters, who)
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
            f"{count} of {len(self._part._members)} members answered, {wanted} were wanted. {reasons}",
            details={"strategy": self._spec.strategy, "members": [c.describe() for c in candidates]},
        )
        error.__cause__ = failed[-1].error
        return error


class _Children:
    """Marks members' calls as part of the ensemble's call on their way to the journal, and adds them up."""

    def __init__(self, sink: CallSink, call_id: str) -> None:
        self.sink = sink
        self._call_id = call_id
        self._calls: list[LMCall] = []

    @property
    def keeps_prompts(self) -> bool:
        """Whether calls are to be written with their prompts."""
        return self.sink.keeps_prompts

    def record(self, call: LMCall) -> LMCall:
        """Pass a call on; of an ensemble within this one, only its own call is a child of ours."""
        kept = self.sink.record(replace(call, parent_id=self._call_id) if call.parent_id is None else call)
        if call.engine != "ensemble":
            self._calls.append(kept)
        return kept

    @property
    def cost(self) -> Decimal | None:
        """The sum, or None where a price is unknown."""
        costs = [call.cost for call in self._calls if call.error is None or call.cost is not None]
        return None if not costs or None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))

    @property
    def usage(self) -> Usage:
        """The sums; unknown where one of them is."""
        answered = [call.usage for call in self._calls if call.error is None]

        def total(name: str) -> int | None:
            counts = [getattr(usage, name) for usage in answered]
            return None if not counts or None in counts else sum(counts)

        return Usage(input_tokens=total("input_tokens"), output_tokens=total("output_tokens"))


@dataclass(frozen=True, slots=True)
class _Apart:
    """Counters of one member, kept with those of the ensemble's assignment."""

    counters: Counters
    who: str

    def next_index(self, key: str) -> int:
        """Fetch and increment."""
        return self.counters.next_index(f"{self.who}\x1f{key}")


def _failure(candidate: Candidate) -> BaseException:
    assert candidate.error is not None
    return candidate.error
