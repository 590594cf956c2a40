"""`EnsembleMember`: asks the members side by side or in turn, and makes one answer of theirs.

Each member's calls are journaled as children of one call of the ensemble. A member that fails is reported in that
call's details, whatever the others answer.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dspy.lm15 import Request, Response

from dspex_testkit.calls import Journal, LMCall
from dspex_testkit.dspy_internals.call_stack import current_call
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.engines.lm_errors import as_lm_error
from dspex_testkit.errors import BudgetExceededError, EnsembleError
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.ensembles.call import Ensemble, EnsembleCall
from dspex_testkit.lm.ensembles.candidates import brief
from dspex_testkit.lm.loops import Loops
from dspex_testkit.lm.members import Member
from dspex_testkit.lm.scoring import load_score


class EnsembleMember:
    """Several members as one.

    Args:
        config: The ensemble's config.
        members: What answers for each member, in order.
        judge: The LM that picks, for `best_of` with a judge.
        loops: Where synchronous callers have the members asked.
    """

    def __init__(self, config: LMConfig, members: Sequence[Member], judge: Any, loops: Loops) -> None:
        spec = config.ensemble
        assert spec is not None
        mocked = all(member.identity.mocked for member in members)
        self.identity = LMCall(provider=config.provider, model=config.model, mocked=mocked, engine="ensemble")
        self.journal = Journal()
        score = None if spec.score is None else load_score(spec.score)
        self._ensemble = Ensemble(self.identity, spec, tuple(members), judge, score)
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
        call = EnsembleCall(self._ensemble, request, caller_now(), current_call().capture, self.journal)
        try:
            decision = await call.decide(await call.ask())
        except BaseException as error:
            call.record(error=brief(error))
            if isinstance(error, EnsembleError | BudgetExceededError):
                raise as_lm_error(error, model=request.model) from error.__cause__
            raise
        call.record(decision)
        return replace(decision.response, usage=call.wire_usage)

    def close(self) -> None:
        """The members belong to the factory, which closes them."""
