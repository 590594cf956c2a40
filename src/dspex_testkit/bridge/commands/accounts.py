"""Commands about what LM calls cost, and what they may."""

from decimal import Decimal, InvalidOperation
from typing import Any

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.calls import BRIDGE, Holder, Limits
from dspex_testkit.errors import InvalidArgsError
from dspex_testkit.limits import LARGEST_BUDGET_USD, brief


def get_costs(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Calls, tokens and US dollars: in all and by LM, provider, program, session and worker; budgets.

    With a session or a program, only what belongs to it.
    """
    session_id, program_id = args.session_id, args.text("program_id")
    if session_id is not None and program_id is not None:
        raise InvalidArgsError("get_costs takes 'session_id' or 'program_id', not both")
    costs = bridge.store.accounts.costs(session_id=session_id, program_id=program_id)
    return {**costs, "currency": "USD", "budgets": bridge.store.accounts.budgets()}


def set_budget(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Limit what a session, a program or, without either, the whole bridge may spend from now on.

    ``usd``, ``tokens`` and ``calls`` are limits; without any of them the budget ends.
    """
    limits = Limits(usd=_dollars(args), tokens=args.count("tokens"), calls=args.count("calls"))
    none = limits == Limits()
    budget = bridge.store.accounts.set_budget(_holder(args), None if none else limits)
    return {"status": "removed" if none else "set", "budget": budget}


def _holder(args: Args) -> Holder:
    session_id, program_id = args.session_id, args.text("program_id")
    if session_id is not None and program_id is not None:
        raise InvalidArgsError("A budget is a session's or a program's; give 'session_id' or 'program_id', not both")
    if session_id is not None:
        return "session", session_id
    return BRIDGE if program_id is None else ("program", program_id)


def _dollars(args: Args) -> Decimal | None:
    given = args.get("usd")
    if given is None:
        return None
    try:
        if isinstance(given, bool) or not isinstance(given, int | float | str | Decimal):
            raise TypeError
        # A float is the decimal that was written there.
        dollars = Decimal(str(given) if isinstance(given, float) else given)
        if not dollars.is_finite() or not 0 <= dollars <= LARGEST_BUDGET_USD:
            raise ValueError
    except (InvalidOperation, TypeError, ValueError):
        raise InvalidArgsError(
            f"Invalid argument 'usd' of set_budget: an amount of 0 to {LARGEST_BUDGET_USD} was wanted, such as "
            f'"0.50", but {brief(given)} came',
            details={"argument": "usd"},
        ) from None
    return dollars
