"""Assertions on who answered, over the LM calls of a test.

Each takes calls (a `LMJournal`, or any sequence of `LMCall`) and raises an `AssertionError` whose text shows the calls
around the one that is wrong. ``program=``, ``session=`` and ``worker=`` narrow the calls that are looked at; `ANY`, the
default, does not, and None means the calls without one.

An LM is named ``provider/model``, or by its model alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, Literal, NoReturn

from dspex_testkit.calls import LMCall, LMChange, Scope
from dspex_testkit.errors import UnknownProviderError
from dspex_testkit.plugin.timeline import around, name_of

Calls = Iterable[LMCall]


class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""Do not look at it at all; None means the calls without one."""
Narrow = str | None | _Any | Any
"""The id of a program, session or worker, an object that has one, None, or `ANY`."""
By = Literal["session", "program", "worker"]

_WIDTH = {scope: index for index, scope in enumerate(Scope)}


def select(calls: Calls, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY) -> list[LMCall]:
    """The calls of a program, session or worker; of an ensemble its own call, not those of its members."""
    wanted = {
        name: _id(value, name)
        for name, value in (("program_id", program), ("session_id", session), ("worker_id", worker))
        if value is not ANY
    }
    return [
        call
        for call in calls
        if call.parent_id is None and all(getattr(call, name) == value for name, value in wanted.items())
    ]


def is_lm(call: LMCall, lm: str) -> bool:
    """Whether a call was answered by the LM of this name, however its provider is spelled."""
    if lm in (name_of(call), call.model):
        return True
    head, slash, model = lm.partition("/")
    if not slash or model != call.model:
        return False
    from dspex_testkit.lm.providers import get_provider

    try:
        return get_provider(head).name == call.provider
    except UnknownProviderError:
        return False


def assert_answered_by(
    calls: Calls,
    lm: str,
    *,
    scope: Scope | str | None = None,
    program: Narrow = ANY,
    session: Narrow = ANY,
    worker: Narrow = ANY,
) -> None:
    """Every call was answered by this LM, and there was one.

    Args:
        calls: The calls of the test.
        lm: The LM.
        scope: The scope that has to have decided; any if None.
        program: Only calls of this program.
        session: Only calls of this session.
        worker: Only calls of this worker.
    """
    __tracebackhide__ = True
    found = select(calls, program=program, session=session, worker=worker)
    wanted = f"{lm} by scope {Scope(scope)}" if scope else lm
    if not found:
        _fail(f"no LM call{_where(program, session, worker)}; expected {wanted}", found, 0, {0: wanted})
    for index, call in enumerate(found):
        if not is_lm(call, lm) or (scope is not None and call.scope != Scope(scope)):
            expected = dict.fromkeys(range(len(found)), wanted)
            _fail(
                f"call {index + 1}{_where(program, session, worker)} was not answered by {wanted}",
                found,
                index,
                expected,
            )


def assert_scope(
    calls: Calls, scope: Scope | str, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
) -> None:
    """Every call was decided by this scope, and there was one."""
    __tracebackhide__ = True
    found = select(calls, program=program, session=session, worker=worker)
    wanted = f"scope {Scope(scope)}"
    if not found:
        _fail(f"no LM call{_where(program, session, worker)}; expected one by {wanted}", found, 0, {0: wanted})
    for index, call in enumerate(found):
        if call.scope != Scope(scope):
            expected = dict.fromkeys(range(len(found)), wanted)
            _fail(
                f"call {index + 1}{_where(program, session, worker)} was not decided by {wanted}",
                found,
                index,
                expected,
            )


def assert_sequence(
    calls: Calls, *lms: str, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
) -> None:
    """One call after the other was answered by these LMs, one each, and there was no other call."""
    __tracebackhide__ = True
    found = select(calls, program=program, session=session, worker=worker)
    expected = {**dict.fromkeys(range(len(found)), "(no call)"), **dict(enumerate(lms))}
    for index in range(max(len(found), len(lms))):
        if index >= len(found) or index >= len(lms) or not is_lm(found[index], lms[index]):
            came = name_of(found[index]) if index < len(found) else "no call"
            wanted = lms[index] if index < len(lms) else "no call"
            _fail(
                f"call {index + 1}{_where(program, session, worker)}: expected {wanted}, got {came}",
                found,
                index,
                expected,
            )


def assert_switched(
    calls: Calls, *lms: str, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
) -> None:
    """The LM that answers changed like this; how many calls each answered in a row does not count."""
    __tracebackhide__ = True
    found = select(calls, program=program, session=session, worker=worker)
    runs = [list(run) for _, run in groupby(enumerate(found), key=lambda entry: name_of(entry[1]))]
    expected: dict[int, str] = {}
    for number, run in enumerate(runs):
        expected.update(dict.fromkeys((index for index, _ in run), lms[number] if number < len(lms) else "(no switch)"))
    if len(runs) < len(lms):
        expected[len(found)] = lms[len(runs)]
    for number in range(max(len(runs), len(lms))):
        if number >= len(runs) or number >= len(lms) or not is_lm(runs[number][0][1], lms[number]):
            position = runs[number][0][0] if number < len(runs) else len(found)
            went = " → ".join(name_of(run[0][1]) for run in runs) or "no call"
            _fail(
                f"expected {' → '.join(lms)}{_where(program, session, worker)}, but it went {went}",
                found,
                position,
                expected,
            )


def assert_nothing_leaked(calls: Calls, changes: Iterable[LMChange] = ()) -> None:
    """No LM answered outside of the scope that it was given to.

    A session's LM answers that session, a program's LM that program, an execution's LM one execution; and where a
    session was given an LM, nobody else's answers for it by a wider scope.

    Args:
        calls: The calls of the test.
        changes: What the journal says of who was given what; those of the journal itself if it is one.
    """
    __tracebackhide__ = True
    found = select(calls)
    known = _changes(calls, changes)
    # An LM under a name may answer wherever the name was given.
    named = {change.lm_id for change in known if change.kind == "defined"}
    given = {change.lm_id: change.session_id for change in known if change.scope == Scope.SESSION}
    owners: dict[str, Any] = {}
    for index, call in enumerate(found):
        owner = _owner(call)
        if call.lm_id is None or call.lm_id in named or owner is None:
            continue
        kind, whose = owner
        own = owners.setdefault(call.lm_id, given.get(call.lm_id, whose) if kind == "session" else whose)
        if own != whose:
            text = f"the LM {name_of(call)} of {kind} {own!r} answered {kind} {whose!r}"
            _fail(text, found, index, {index: f"not the LM of {kind} {own!r}"})


def assert_isolated(
    calls: Calls, lms: Mapping[str | None, str | Sequence[str]] | None = None, *, by: By = "session"
) -> None:
    """Sessions (or programs, or workers) never met each other's LMs.

    Args:
        calls: The calls of the test.
        lms: Which LM, or LMs, may answer each, by id; without it, no LM may answer two of them.
        by: What is to be kept apart.
    """
    __tracebackhide__ = True
    found = select(calls)
    seen: dict[str, str | None] = {}
    for index, call in enumerate(found):
        whose = getattr(call, f"{by}_id")
        if lms is None:
            first = seen.setdefault(name_of(call), whose)
            if first != whose:
                wanted = f"not the LM of {by} {first!r}"
                _fail(f"{name_of(call)} answered {by} {first!r} and {by} {whose!r}", found, index, {index: wanted})
        elif whose in lms:
            allowed = lms[whose]
            names = [allowed] if isinstance(allowed, str) else list(allowed)
            if not any(is_lm(call, name) for name in names):
                wanted = " or ".join(names)
                _fail(f"{by} {whose!r} was answered by {name_of(call)}, not by {wanted}", found, index, {index: wanted})
    if lms is not None:
        for missing in [whose for whose in lms if all(getattr(call, f"{by}_id") != whose for call in found)]:
            _fail(f"no LM call of {by} {missing!r}", found, len(found), {len(found): str(lms[missing])})


def assert_no_fallback(calls: Calls, changes: Iterable[LMChange] = ()) -> None:
    """No wider scope answered for a session that had an LM of its own.

    Args:
        calls: The calls of the test.
        changes: What the journal says of who was given what; those of the journal itself if it is one.
    """
    __tracebackhide__ = True
    found = select(calls)
    given = [change for change in _changes(calls, changes) if change.scope == Scope.SESSION]
    for index, call in enumerate(found):
        if call.scope is None or call.session_id is None or _WIDTH[call.scope] <= _WIDTH[Scope.SESSION]:
            continue
        own = [change for change in given if change.session_id == call.session_id and change.seq < call.seq]
        if own and own[-1].lm is not None:
            wanted = f"{own[-1].lm.get('provider')}/{own[-1].lm.get('model')}"
            _fail(
                f"session {call.session_id!r} has {wanted}, but scope {call.scope} answered for it",
                found,
                index,
                {index: wanted},
            )


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
        text = f"expected {expected} {what}{_where(program, session, worker)}, got {len(counted)}"
        _fail(text, counted, min(expected, len(counted)), {})


def assert_cost_at_most(
    calls: Calls, usd: Decimal | float | str, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
) -> None:
    """The calls cost no more than this, in US dollars; one of an unknown price fails."""
    __tracebackhide__ = True
    found = _charged(calls, program, session, worker)
    for index, call in enumerate(found):
        if call.cost is None and call.error is None:
            _fail(f"the price of {name_of(call)} is not known; give the mock prices", found, index, {index: "a price"})
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
            _fail(f"call {index + 1} asked the real {name_of(call)}", found, index, {index: "a mock"})


def _charged(calls: Calls, program: Narrow, session: Narrow, worker: Narrow) -> list[LMCall]:
    """The calls that somebody is charged for: an ensemble's members, not their sum."""
    alone = [replace(call, parent_id=None) for call in calls if call.engine != "ensemble"]
    return select(alone, program=program, session=session, worker=worker)


def _within(unit: str, limit: Decimal, found: list[LMCall], of: Callable[[LMCall], Decimal]) -> None:
    __tracebackhide__ = True
    spent = Decimal(0)
    for index, call in enumerate(found):
        spent += of(call)
        if spent > limit:
            total = sum((of(each) for each in found), Decimal(0))
            _fail(f"expected at most {limit} {unit}, got {total}", found, index, {index: f"{limit} in all"})


def _owner(call: LMCall) -> tuple[str, Any] | None:
    """To whom the deciding scope belongs; None where it belongs to everybody."""
    match call.scope:
        case Scope.SESSION:
            return "session", call.session_id
        case Scope.PROGRAM:
            return "program", call.program_id
        case Scope.EXECUTION:
            return "execution of", (call.session_id, call.program_id)
        case _:
            return None


def _changes(calls: Calls, changes: Iterable[LMChange]) -> list[LMChange]:
    return list(changes) or list(getattr(calls, "changes", ()))


def _id(value: Any, name: str) -> str | None:
    """An id as it is, or that of a program or session."""
    return value if value is None or isinstance(value, str) else getattr(value, name)


def _where(program: Narrow, session: Narrow, worker: Narrow) -> str:
    parts = [
        f"{kind} {_id(value, f'{kind}_id')!r}"
        for kind, value in (("program", program), ("session", session), ("worker", worker))
        if value is not ANY
    ]
    return f" of {', '.join(parts)}" if parts else ""


def _fail(text: str, calls: Sequence[LMCall], position: int, expected: Mapping[int, str]) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError(f"{text}\n\n{around(calls, position, expected=expected)}")
