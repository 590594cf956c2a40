"""What calls come to: an ensemble costs what its members do, so its own call, which tells their sum, is left out."""

from collections.abc import Iterable
from decimal import Decimal

from dspex_testkit.calls import LMCall


def charged(calls: Iterable[LMCall]) -> list[LMCall]:
    """The calls that somebody is charged for."""
    return [call for call in calls if call.engine != "ensemble"]


def cost_of(calls: Iterable[LMCall]) -> Decimal:
    """US dollars of all calls whose price is known."""
    return sum((call.cost for call in charged(calls) if call.cost is not None), Decimal(0))


def tokens_of(calls: Iterable[LMCall]) -> int:
    """Tokens of all calls, input and output."""
    return sum(call.usage.total_tokens or 0 for call in charged(calls))
