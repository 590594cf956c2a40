"""Budgets: how much a session, a program or the whole bridge may spend on LM calls."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
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


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may come to, before it is made."""

    model: str
    """``provider/model``."""
    input_tokens: int = 0
    max_tokens: int | None = None
    """None where nothing bounds the answer; it is then taken to be as large as the largest so far."""
    input_price: Decimal | None = None
    """US dollars per token; None where nobody knows."""
    output_price: Decimal | None = None
    is_free: bool = False
    """Whether it stands for no model that has a price."""


@dataclass(frozen=True, slots=True)
class _Reservation:
    """What is kept free for a call that is under way."""

    budgets: "tuple[Budget, ...]"
    tokens: int
    usd: Decimal
    owner: object


@dataclass(slots=True)
class Budget:
    """Limits, and what has been spent against them."""

    holder: Holder
    limits: Limits
    spent: Sum = field(default_factory=Sum)
    begun: int = 0
    """Calls that were let through, finished or not."""
    largest: int = 0
    """Tokens of the largest answer so far."""
    under_way: int = 0
    """Calls for which something is reserved."""
    reserved_tokens: int = 0
    reserved_usd: Decimal = Decimal(0)

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

    def needs(self, estimate: Estimate) -> tuple[int, Decimal]:
        """The tokens and US dollars that a call may come to."""
        output = self.largest if estimate.max_tokens is None else estimate.max_tokens
        usd = estimate.input_tokens * (estimate.input_price or 0) + output * (estimate.output_price or 0)
        return estimate.input_tokens + output, Decimal(usd)

    def too_little(self, estimate: Estimate) -> str | None:
        """Why a call cannot be let in beside those that are under way; None where it can."""
        if not self.under_way:
            return None  # alone it may use what is left, whatever it is estimated at
        tokens, usd = self.needs(estimate)
        limits, spent = self.limits, self.spent
        used = spent.input_tokens + spent.output_tokens
        if limits.tokens is not None and used + self.reserved_tokens + tokens > limits.tokens:
            return f"{used} of {limits.tokens} tokens are used, and {self.reserved_tokens} reserved by calls under way"
        if limits.usd is not None and spent.cost + self.reserved_usd + usd > limits.usd:
            spoken = f"{spent.cost} of {limits.usd} US dollars are spent"
            return f"{spoken}, and {self.reserved_usd} reserved by calls under way"
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

    A call is let through while every budget that it falls under has something left, beside what is reserved for calls
    that are under way: their input by estimate, and their `max_tokens`, or else the largest answer so far. When a call
    ends, what it came to takes the place of what was reserved. A call that is alone may use all that is left.
    """

    def __init__(self) -> None:
        self.owner: object = None
        """For whom calls are let in now: the worker that asks, where several share the budgets."""
        self._reservations: dict[int, _Reservation] = {}
        self._numbers = count(1)
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

    def admit(self, *, session_id: str | None, program_id: str | None, estimate: Estimate | None = None) -> int | None:
        """Let one call through, count it, and reserve what it may come to.

        Returns:
            What `charge` and `release` know the reservation by; None where there is none.

        Raises:
            BudgetExceededError: A budget is used up, or cannot be held because nobody knows the model's price. Nothing
                is counted then.
        """
        if not self._budgets:
            return None
        with self._lock:
            concerned = list(self._concerned(session_id, program_id))
            for budget in concerned:
                self._check(budget, estimate)
            for budget in concerned:
                budget.begun += 1
            if not concerned or estimate is None:
                return None
            needs = [budget.needs(estimate) for budget in concerned]
            tokens, usd = max(needs)[0], max(need[1] for need in needs)
            for budget in concerned:
                budget.under_way += 1
                budget.reserved_tokens += tokens
                budget.reserved_usd += usd
            number = next(self._numbers)
            self._reservations[number] = _Reservation(tuple(concerned), tokens, usd, self.owner)
            return number

    def release(self, number: int | None) -> None:
        """Let a reservation go."""
        with self._lock:
            self._release(number)

    def release_all_of(self, owner: object) -> None:
        """Let go of what was reserved for a worker that has ended."""
        with self._lock:
            for number in [n for n, reservation in self._reservations.items() if reservation.owner == owner]:
                self._release(number)

    def _release(self, number: int | None) -> None:
        reservation = None if number is None else self._reservations.pop(number, None)
        if reservation is None:
            return
        for budget in reservation.budgets:
            budget.under_way -= 1
            budget.reserved_tokens -= reservation.tokens
            budget.reserved_usd -= reservation.usd

    def _check(self, budget: Budget, estimate: Estimate | None) -> None:
        kind, key = budget.holder
        whose = "the bridge" if key is None else f"{kind} {key!r}"
        reason = budget.over()
        if reason is None and estimate is not None:
            if budget.limits.usd is not None and estimate.input_price is None and not estimate.is_free:
                raise BudgetExceededError(
                    f"The budget of {whose} is in US dollars, and nobody knows the price of {estimate.model}. Nothing "
                    "was sent; name its price in a price table (the setting price_table), or set a budget of tokens or "
                    "calls",
                    details={**budget.to_dict(), "model": estimate.model},
                )
            reason = budget.too_little(estimate)
        if reason is not None:
            raise BudgetExceededError(
                f"The budget of {whose} is used up: {reason}. Nothing was sent; raise it with set_budget",
                details=budget.to_dict(),
            )

    def charge(self, call: LMCall) -> None:
        """Note what a call came to."""
        if not self._budgets or call.engine == "ensemble":
            return
        with self._lock:
            self._release(call.reservation)
            for budget in self._concerned(call.session_id, call.program_id):
                budget.spent.add(call)
                budget.largest = max(budget.largest, call.usage.output_tokens or 0)

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
