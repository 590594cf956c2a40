"""How many calls there were, and what they came to."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from dspex_testkit.calls import LMCall
from dspex_testkit.calls.costs import charged
from dspex_testkit.plugin.assertions.selecting import ANY, Calls, Narrow, fail, is_lm, select, where


def assert_call_count(
    calls: Calls,
    expected: int,
    *,
    lm: str | None = None,
    program: Narrow = ANY,
    session: Narrow = ANY,
    worker: Narrow = ANY,
) -> None:
    """There were so many calls."""
    __tracebackhide__ = True
    found = select(calls, program=program, session=session, worker=worker)
    counted = found if lm is None else [call for call in found if is_lm(call, lm)]
    if len(counted) != expected:
        what = f"calls of {lm}" if lm else "LM calls"
        text = f"expected {expected} {what}{where(program, session, worker)}, got {len(counted)}"
        fail(text, counted, min(expected, len(counted)), {})


def assert_cost_at_most(
    calls: Calls, usd: Decimal | float | str, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
) -> None:
    """The calls cost no more than this, in US dollars; one of an unknown price fails."""
    __tracebackhide__ = True
    found = _charged(calls, program, session, worker)
    for index, call in enumerate(found):
        if call.cost is None and call.error is None:
            fail(
                f"the price of {call.provider_model} is not known; give the mock prices",
                found,
                index,
                {index: "a price"},
            )
    _within("US dollars", Decimal(str(usd)), found, lambda call: call.cost or Decimal(0))


def assert_tokens_at_most(
    calls: Calls, tokens: int, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
) -> None:
    """The calls used no more tokens than this, input and output together."""
    __tracebackhide__ = True
    found = _charged(calls, program, session, worker)
    _within("tokens", Decimal(tokens), found, lambda call: Decimal(call.usage.total_tokens or 0))


def assert_no_real_lm(calls: Calls) -> None:
    """No real provider was asked."""
    __tracebackhide__ = True
    found = list(calls)
    for index, call in enumerate(found):
        if not call.mocked:
            fail(f"call {index + 1} asked the real {call.provider_model}", found, index, {index: "a mock"})


def _charged(calls: Calls, program: Narrow, session: Narrow, worker: Narrow) -> list[LMCall]:
    # `select` leaves members out, and here it is they that count.
    alone = [replace(call, parent_id=None) for call in charged(calls)]
    return select(alone, program=program, session=session, worker=worker)


def _within(unit: str, limit: Decimal, found: list[LMCall], of: Callable[[LMCall], Decimal]) -> None:
    __tracebackhide__ = True
    spent = Decimal(0)
    for index, call in enumerate(found):
        spent += of(call)
        if spent > limit:
            total = sum((of(each) for each in found), Decimal(0))
            fail(f"expected at most {limit} {unit}, got {total}", found, index, {index: f"{limit} in all"})
