"""Which calls an assertion looks at, and what it says where one is wrong."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NoReturn

from dspex_testkit.calls import LMCall, LMChange
from dspex_testkit.errors import UnknownProviderError
from dspex_testkit.plugin.timeline import around

Calls = Iterable[LMCall]


class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""Do not look at it at all; None means the calls without one."""
Narrow = str | None | _Any | Any
"""The id of a program, session or worker, an object that has one, None, or `ANY`."""
By = Literal["session", "program", "worker"]


def select(calls: Calls, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY) -> list[LMCall]:
    """The calls of a program, session or worker; of an ensemble its own call, not those of its members."""
    wanted = {
        name: id_of(value, name)
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
    if lm in (call.provider_model, call.model):
        return True
    head, slash, model = lm.partition("/")
    if not slash or model != call.model:
        return False
    from dspex_testkit.lm.config.providers import get_provider

    try:
        return get_provider(head).name == call.provider
    except UnknownProviderError:
        return False


def changes_of(calls: Calls, changes: Iterable[LMChange]) -> list[LMChange]:
    """The changes that were given, else those of the journal that the calls are."""
    return list(changes) or list(getattr(calls, "changes", ()))


def where(program: Narrow, session: Narrow, worker: Narrow) -> str:
    """The end of a sentence: whose calls were looked at."""
    parts = [
        f"{kind} {id_of(value, f'{kind}_id')!r}"
        for kind, value in (("program", program), ("session", session), ("worker", worker))
        if value is not ANY
    ]
    return f" of {', '.join(parts)}" if parts else ""


def fail(text: str, calls: Sequence[LMCall], position: int, expected: Mapping[int, str]) -> NoReturn:
    """Fail, showing the calls around a position with what was expected of some.

    Raises:
        AssertionError: Always.
    """
    __tracebackhide__ = True
    raise AssertionError(f"{text}\n\n{around(calls, position, expected=expected)}")


def id_of(value: Any, name: str) -> str | None:
    """An id as it is, or that of a program or session."""
    return value if value is None or isinstance(value, str) else getattr(value, name)
