"""How a worker is given back: DSPex's table from what a client met to ``ok``, ``error`` or ``close``."""

from typing import Literal

from dspex_testkit.errors import (
    RemoteCommandError,
    RemoteProtocolError,
    ResponseMismatchError,
    WorkerBusyError,
    WorkerTimeoutError,
)

Outcome = Literal["ok", "error", "close"]
"""``ok`` clears a worker's count of failures, ``error`` adds one, ``close`` removes the worker."""

_BY_SEVERITY: tuple[Outcome, ...] = ("ok", "error", "close")
_OK = (RemoteCommandError, WorkerBusyError)
_ERROR = (WorkerTimeoutError, ResponseMismatchError, RemoteProtocolError)


def outcome_of(error: BaseException | None) -> Outcome:
    """How a worker is given back after this.

    An error that the bridge answered says nothing against the worker; a late, wrong or unreadable answer does. After
    anything else, an exception of the client's own included, nobody knows what state the worker is in.
    """
    if error is None or isinstance(error, _OK):
        return "ok"
    return "error" if isinstance(error, _ERROR) else "close"


def worst(first: Outcome, second: Outcome) -> Outcome:
    """The one that weighs more."""
    return max(first, second, key=_BY_SEVERITY.index)
