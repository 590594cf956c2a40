"""How a process is sent away: a ladder of ever firmer requests, each with a bound."""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dspex_testkit.errors import PoolError, RemoteProtocolError

if TYPE_CHECKING:
    from dspex_testkit.pool.process import BridgeProcess

Rung = Literal["before", "command", "end of input", "SIGTERM", "SIGKILL"]

_KILL_PATIENCE = 10.0
"""Seconds in which the system removes a killed process, on a machine that is busy."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended."""

    by: Rung
    """What ended it; ``before`` if it was gone already."""

    status: int | None
    """Its exit status, 128 + signal for a signal; None if it was never started, or could not even be killed."""


def send_away(process: "BridgeProcess", *, by_force: bool = False) -> Rung:
    """End a process: its dialect's farewell, then the end of its input, then SIGTERM, then SIGKILL.

    Args:
        process: Who is to end.
        by_force: Whether to begin with SIGKILL.

    Returns:
        Which of them it took.
    """
    if not process.alive:
        return "before"
    if not by_force and (rung := _ask_to_end(process)) is not None:
        return rung
    process.kill()
    process.wait(_KILL_PATIENCE)
    return "SIGKILL"


def _ask_to_end(process: "BridgeProcess") -> Rung | None:
    if process.dialect.farewell is not None:
        if _say_farewell(process):
            return "command"
        process.close_stdin()
        if process.wait(process.dialect.eof_patience):
            return "end of input"
    process.terminate()
    if process.wait(process.dialect.kill_after):
        return "SIGTERM"
    return None


def _say_farewell(process: "BridgeProcess") -> bool:
    """Send the last command and wait; whether the process has ended."""
    assert process.dialect.farewell is not None
    command, id, patience = process.dialect.farewell
    args = {"worker_id": process.worker_id} if process.worker_id else {}
    with suppress(PoolError, RemoteProtocolError):
        # A worker that serves another client, or reads no more, is not asked.
        pending = process.submit(command, args, id=id, health=True)
        if not process.dialect.farewell_ends_with_reply:
            return process.wait(patience)
        process.result(pending, timeout=patience)
    return not process.alive
