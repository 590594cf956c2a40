"""Budgets: how much a session, a program or the whole bridge may spend on LM calls."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from dspex_testkit.calls.call import LMCall
from dspex_testkit.calls.costs import Sum
from dspex_testkit.errors import BudgetExceededError

Holder = tuple[Literal["bridge", "session", "program"], str | None]
"""Whose budget it is: its kind, and the session's or program's id."""
BRIDGE: Holder = ("bridge", None)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent from when the budget is set; None is no limit."""

    usd: Decimal | None = None
    tokens: int | None = None
    calls: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The limits as JSON values."""
        return {"usd": None if self.usd is None else str(self.usd), "tokens": self.tokens, "calls": self.calls}


@dataclass(slots=True)
class Budget:
    """Limits, and what has been spent against them."""

    holder: Holder
    limits: Limits
    spent: Sum = field(default_factory=Sum)
    begun: int = 0
    """Calls that were let through, finished or not."""

    def over(self) -> str | None:
        """Which limit is reached, for a person; None while there is something left."""
        limits, spent = self.limits, self.spent
        tokens = spent.input_tokens + spent.output_tokens
        if limits.calls is not None and self.begun >= limits.calls:
            return f"{self.begun} of {limits.calls} calls are made"
        if limits.tokens is not None and tokens >= limits.tokens:
            return f"{tokens} of {limits.tokens} tokens are used"
        if limits.usd is not None and spent.cost >= limits.usd:
            return f"{spent.cost} of {limits.usd} US dollars are spent"
        return None

    def to_dict(self) -> dict[str, Any]:
        """The budget as JSON values."""
        kind, key = self.holder
        return {
            "scope": kind,
            "session_id": key if kind == "session" else None,
            "program_id": key if kind == "program" else None,
            "limits": self.limits.to_dict(),
            "spent": {
                "usd": str(self.spent.cost),
                "tokens": self.spent.input_tokens + self.spent.output_tokens,
                "calls": self.begun,
                "unpriced_calls": self.spent.unpriced_calls,
            },
            "exceeded": self.over() is not None,
        }


class Budgets:
    """The budgets of a bridge, by holder; thread-safe.

    A call is let through while every budget that it falls under has something left, so calls that are under way at
    the same moment may together go over a limit of tokens or money; never over one of calls.
    """

    def __init__(self) -> None:
        self._budgets: dict[Holder, Budget] = {}
        self._lock = threading.Lock()

    def set(self, holder: Holder, limits: Limits | None) -> Budget | None:
        """Begin a budget in place of the holder's former one; without limits only end that."""
        with self._lock:
            self._budgets.pop(holder, None)
            if limits is None:
                return None
            budget = self._budgets[holder] = Budget(holder, limits)
            return budget

    def __bool__(self) -> bool:
        return bool(self._budgets)

    def admit(self, *, session_id: str | None, program_id: str | None) -> None:
        """Let one call through and count it.

        Raises:
            BudgetExceededError: A budget is used up. Nothing is counted then.
        """
        if not self._budgets:
            return
        with self._lock:
            concerned = list(self._concerned(session_id, program_id))
            for budget in concerned:
                if (reason := budget.over()) is not None:
                    kind, key = budget.holder
                    whose = "the bridge" if key is None else f"{kind} {key!r}"
                    raise BudgetExceededError(
                        f"The budget of {whose} is used up: {reason}. Nothing was sent; raise it with set_budget",
                        details=budget.to_dict(),
                    )
            for budget in concerned:
                budget.begun += 1

    def charge(self, call: LMCall) -> None:
        """Note what a call came to."""
        if not self._budgets or call.engine == "ensemble":
            return
        with self._lock:
            for budget in self._concerned(call.session_id, call.program_id):
                budget.spent.add(call)

    def listed(self) -> list[dict[str, Any]]:
        """All budgets as JSON values."""
        with self._lock:
            return [budget.to_dict() for budget in self._budgets.values()]

    def forget_session(self, session_id: str) -> None:
        """End a session's budget."""
        with self._lock:
            self._budgets.pop(("session", session_id), None)

    def clear(self) -> None:
        """End them all."""
        with self._lock:
            self._budgets.clear()

    def _concerned(self, session_id: str | None, program_id: str | None) -> Iterator[Budget]:
        holders: tuple[Holder, ...] = (BRIDGE, ("session", session_id), ("program", program_id))
        for holder in holders:
            if (budget := self._budgets.get(holder)) is not None:
                yield budget
