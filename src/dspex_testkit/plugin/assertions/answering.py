"""Who answered, and in which order."""

from collections.abc import Sequence
from itertools import groupby
from typing import NoReturn

from dspex_testkit.calls import LMCall, Scope
from dspex_testkit.plugin.assertions.selecting import ANY, Calls, Narrow, fail, is_lm, select, where


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
        fail(f"no LM call{where(program, session, worker)}; expected {wanted}", found, 0, {0: wanted})
    for index, call in enumerate(found):
        if not is_lm(call, lm) or (scope is not None and call.scope != Scope(scope)):
            _fail_at(index, found, f"{where(program, session, worker)} was not answered by {wanted}", wanted)


def assert_scope(
    calls: Calls, scope: Scope | str, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
) -> None:
    """Every call was decided by this scope, and there was one."""
    __tracebackhide__ = True
    found = select(calls, program=program, session=session, worker=worker)
    wanted = f"scope {Scope(scope)}"
    if not found:
        fail(f"no LM call{where(program, session, worker)}; expected one by {wanted}", found, 0, {0: wanted})
    for index, call in enumerate(found):
        if call.scope != Scope(scope):
            _fail_at(index, found, f"{where(program, session, worker)} was not decided by {wanted}", wanted)


def assert_sequence(
    calls: Calls, *lms: str, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
) -> None:
    """One call after the other was answered by these LMs, one each, and there was no other call."""
    __tracebackhide__ = True
    found = select(calls, program=program, session=session, worker=worker)
    expected = {**dict.fromkeys(range(len(found)), "(no call)"), **dict(enumerate(lms))}
    for index in range(max(len(found), len(lms))):
        if index >= len(found) or index >= len(lms) or not is_lm(found[index], lms[index]):
            came = found[index].provider_model if index < len(found) else "no call"
            wanted = lms[index] if index < len(lms) else "no call"
            fail(
                f"call {index + 1}{where(program, session, worker)}: expected {wanted}, got {came}",
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
    runs = [list(run) for _, run in groupby(enumerate(found), key=lambda entry: entry[1].provider_model)]
    expected: dict[int, str] = {}
    for number, run in enumerate(runs):
        expected.update(dict.fromkeys((index for index, _ in run), lms[number] if number < len(lms) else "(no switch)"))
    if len(runs) < len(lms):
        expected[len(found)] = lms[len(runs)]
    for number in range(max(len(runs), len(lms))):
        if number >= len(runs) or number >= len(lms) or not is_lm(runs[number][0][1], lms[number]):
            position = runs[number][0][0] if number < len(runs) else len(found)
            went = " → ".join(run[0][1].provider_model for run in runs) or "no call"
            fail(
                f"expected {' → '.join(lms)}{where(program, session, worker)}, but it went {went}",
                found,
                position,
                expected,
            )


def _fail_at(index: int, found: Sequence[LMCall], text: str, wanted: str) -> NoReturn:
    """Fail at one call, where the same was wanted of all."""
    __tracebackhide__ = True
    fail(f"call {index + 1}{text}", found, index, dict.fromkeys(range(len(found)), wanted))
