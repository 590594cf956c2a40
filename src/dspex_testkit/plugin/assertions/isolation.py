"""Whether everybody was answered by an LM that is theirs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dspex_testkit.calls import LMCall, LMChange, Scope
from dspex_testkit.plugin.assertions.selecting import By, Calls, changes_of, fail, is_lm, select

_WIDTH = {scope: index for index, scope in enumerate(Scope)}


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
    known = changes_of(calls, changes)
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
            text = f"the LM {call.provider_model} of {kind} {own!r} answered {kind} {whose!r}"
            fail(text, found, index, {index: f"not the LM of {kind} {own!r}"})


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
            first = seen.setdefault(call.provider_model, whose)
            if first != whose:
                wanted = f"not the LM of {by} {first!r}"
                fail(f"{call.provider_model} answered {by} {first!r} and {by} {whose!r}", found, index, {index: wanted})
        elif whose in lms:
            allowed = lms[whose]
            names = [allowed] if isinstance(allowed, str) else list(allowed)
            if not any(is_lm(call, name) for name in names):
                wanted = " or ".join(names)
                fail(
                    f"{by} {whose!r} was answered by {call.provider_model}, not by {wanted}",
                    found,
                    index,
                    {index: wanted},
                )
    if lms is not None:
        for missing in [whose for whose in lms if all(getattr(call, f"{by}_id") != whose for call in found)]:
            fail(f"no LM call of {by} {missing!r}", found, len(found), {len(found): str(lms[missing])})


def assert_no_fallback(calls: Calls, changes: Iterable[LMChange] = ()) -> None:
    """No wider scope answered for a session that had an LM of its own.

    Args:
        calls: The calls of the test.
        changes: What the journal says of who was given what; those of the journal itself if it is one.
    """
    __tracebackhide__ = True
    found = select(calls)
    given = [change for change in changes_of(calls, changes) if change.scope == Scope.SESSION]
    for index, call in enumerate(found):
        if call.scope is None or call.session_id is None or _WIDTH[call.scope] <= _WIDTH[Scope.SESSION]:
            continue
        own = [change for change in given if change.session_id == call.session_id and change.seq < call.seq]
        if own and own[-1].lm is not None:
            wanted = f"{own[-1].lm.get('provider')}/{own[-1].lm.get('model')}"
            fail(
                f"session {call.session_id!r} has {wanted}, but scope {call.scope} answered for it",
                found,
                index,
                {index: wanted},
            )


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
