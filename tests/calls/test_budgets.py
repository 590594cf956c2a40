"""Budgets hold while calls are under way: what they may come to is kept free for them."""

from decimal import Decimal
from typing import Any

import pytest

from dspex_testkit.calls import BRIDGE, Estimate, Limits, LMCall, Usage
from dspex_testkit.calls.budgets import Budgets
from dspex_testkit.errors import BudgetExceededError

NOBODY: dict[str, Any] = {"session_id": None, "program_id": None}


def _estimate(**changed: Any) -> Estimate:
    prices = {"input_price": Decimal("0.01"), "output_price": Decimal("0.1")}
    return Estimate("openai/gpt-4o", **{"input_tokens": 10, "max_tokens": 20, **prices, **changed})


def _call(reservation: int | None, tokens: int = 30, cost: str = "1") -> LMCall:
    usage = Usage(input_tokens=10, output_tokens=tokens - 10)
    return LMCall(provider="openai", model="gpt-4o", usage=usage, cost=Decimal(cost), reservation=reservation)


def _spent(budgets: Budgets) -> int:
    return int(budgets.listed()[0]["spent"]["tokens"])


@pytest.mark.parametrize("limits", [Limits(tokens=100), Limits(usd=Decimal("6.3"))])
def test_calls_under_way_never_go_over_a_limit_together(limits: Limits) -> None:
    """Each reserves 30 tokens, or 2.10 dollars: three fit, the fourth does not."""
    budgets = Budgets()
    budgets.set(BRIDGE, limits)
    reserved = [budgets.admit(**NOBODY, estimate=_estimate()) for _ in range(3)]
    with pytest.raises(BudgetExceededError, match="reserved by calls under way"):
        budgets.admit(**NOBODY, estimate=_estimate())
    for number in reserved:
        budgets.charge(_call(number, cost="2.10"))
    assert _spent(budgets) == 90


def test_what_a_call_came_to_takes_the_place_of_what_was_reserved() -> None:
    """So one that came to less makes room."""
    budgets = Budgets()
    budgets.set(BRIDGE, Limits(tokens=100))
    first, *_ = [budgets.admit(**NOBODY, estimate=_estimate()) for _ in range(3)]
    budgets.charge(_call(first, tokens=11))
    assert budgets.admit(**NOBODY, estimate=_estimate(input_tokens=5)) is not None


def test_a_lone_call_is_never_refused_for_its_reservation() -> None:
    """It may use what is left; only what is used up refuses it."""
    budgets = Budgets()
    budgets.set(BRIDGE, Limits(tokens=15))
    number = budgets.admit(**NOBODY, estimate=_estimate(max_tokens=100_000))
    budgets.charge(_call(number, tokens=12))
    again = budgets.admit(**NOBODY, estimate=_estimate(max_tokens=100_000))
    budgets.charge(_call(again, tokens=12))
    with pytest.raises(BudgetExceededError, match="24 of 15 tokens are used"):
        budgets.admit(**NOBODY, estimate=_estimate())


def test_without_max_tokens_the_largest_answer_so_far_is_reserved() -> None:
    """Nobody knows better."""
    budgets = Budgets()
    budgets.set(BRIDGE, Limits(tokens=200))
    budgets.charge(_call(budgets.admit(**NOBODY, estimate=_estimate(max_tokens=None)), tokens=60))
    assert budgets.admit(**NOBODY, estimate=_estimate(max_tokens=None)) is not None
    assert budgets.admit(**NOBODY, estimate=_estimate(max_tokens=None)) is not None
    with pytest.raises(BudgetExceededError, match="120 reserved"):
        budgets.admit(**NOBODY, estimate=_estimate(max_tokens=None))


def test_what_a_worker_had_reserved_goes_with_it() -> None:
    """Its calls will not end any more."""
    budgets = Budgets()
    budgets.set(BRIDGE, Limits(tokens=60))
    budgets.owner = "worker"
    for _ in range(2):
        budgets.admit(**NOBODY, estimate=_estimate())
    budgets.owner = "other"
    with pytest.raises(BudgetExceededError):
        budgets.admit(**NOBODY, estimate=_estimate())
    budgets.release_all_of("worker")
    assert budgets.admit(**NOBODY, estimate=_estimate()) is not None


def test_a_model_without_a_price_is_refused_by_name_under_a_budget_in_money() -> None:
    """It would never be used up; a mock that stands for no model costs nothing."""
    budgets = Budgets()
    budgets.set(BRIDGE, Limits(usd=Decimal(1)))
    with pytest.raises(BudgetExceededError, match="nobody knows the price of openai/gpt-4o"):
        budgets.admit(**NOBODY, estimate=_estimate(input_price=None, output_price=None))
    assert budgets.listed()[0]["spent"]["calls"] == 0
    budgets.admit(**NOBODY, estimate=_estimate(input_price=None, output_price=None, is_free=True))
