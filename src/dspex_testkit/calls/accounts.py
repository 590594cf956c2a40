"""The accounts of a bridge: each LM call is let in, summed, charged and written down here."""

from typing import Any

from dspex_testkit.calls.budgets import Budgets, Estimate, Holder, Limits
from dspex_testkit.calls.call import LMCall
from dspex_testkit.calls.costs import Costs
from dspex_testkit.calls.journal import Journal


class Accounts:
    """Costs and budgets in front of a journal; the workers of a pool share one.

    Args:
        journal: Where calls end up.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._costs = Costs()
        self._budgets = Budgets()

    def admit(self, *, session_id: str | None, program_id: str | None, estimate: Estimate | None = None) -> int | None:
        """Let one call through, before anything is sent; returns what its `LMCall` carries as `reservation`.

        Raises:
            BudgetExceededError: A budget that it falls under is used up.
        """
        return self._budgets.admit(session_id=session_id, program_id=program_id, estimate=estimate)

    def act_for(self, owner: object) -> None:
        """Reserve for this worker from here on."""
        self._budgets.owner = owner

    def release_all_of(self, owner: object) -> None:
        """Let go of what is reserved for calls of a worker that has ended."""
        self._budgets.release_all_of(owner)

    def record(self, call: LMCall) -> LMCall:
        """Count a finished call and write it down."""
        self._costs.add(call)
        self._budgets.charge(call)
        return self._journal.record(call)

    def costs(self, *, session_id: str | None = None, program_id: str | None = None) -> dict[str, Any]:
        """The sums as JSON values, all or those of one session or program."""
        return self._costs.to_dict(session_id=session_id, program_id=program_id)

    def has_budgets(self) -> bool:
        """Whether any budget has been set."""
        return bool(self._budgets)

    def set_budget(self, holder: Holder, limits: Limits | None) -> dict[str, Any] | None:
        """Begin a budget, or end the holder's."""
        budget = self._budgets.set(holder, limits)
        return None if budget is None else budget.to_dict()

    def budgets(self) -> list[dict[str, Any]]:
        """All budgets as JSON values."""
        return self._budgets.listed()

    def forget_session(self, session_id: str) -> None:
        """Let what belongs to a session alone go; the other sums keep its calls."""
        self._costs.forget_session(session_id)
        self._budgets.forget_session(session_id)

    def clear(self) -> None:
        """Begin anew: no sums, no budgets."""
        self._costs.clear()
        self._budgets.clear()
