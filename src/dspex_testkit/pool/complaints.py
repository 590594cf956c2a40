"""What is said when a process does not do what it should: who, what was asked, how it is, how its log ends."""

import signal
from typing import TYPE_CHECKING

from dspex_testkit.errors import WorkerExitedError, WorkerTimeoutError
from dspex_testkit.protocol import Request

if TYPE_CHECKING:
    from dspex_testkit.pool.process import BridgeProcess


def exited(process: "BridgeProcess", request: Request) -> WorkerExitedError:
    """The process will not answer any more."""
    return WorkerExitedError(
        f"{process} did not answer {request.command} (id {request.id}): {condition(process)}{quoted_log(process)}",
        details=details(process, request),
    )


def timed_out(process: "BridgeProcess", request: Request, limit: float) -> WorkerTimeoutError:
    """The process has not answered within `limit` seconds."""
    strays = process.strays
    odd = [
        f"{number} {kind}"
        for number, kind in (
            (strays.late, "late answers to earlier requests"),
            (strays.unknown, "answers to nothing that was asked"),
            (strays.undecodable, "packets that are no answers"),
        )
        if number
    ]
    also = f"; it has sent {', '.join(odd)}" if odd else ""
    return WorkerTimeoutError(
        f"{process} did not answer {request.command} (id {request.id}) within {limit:g} s{also}{quoted_log(process)}",
        details=details(process, request) | {"timeout": limit},
    )


def condition(process: "BridgeProcess") -> str:
    """Why nothing more can be had of the process."""
    if process.pid is None:
        return "it was not started"
    if process.alive:
        return "its standard input is closed"
    status = process.exit_status
    if status is None:
        return "it closed its output but still runs"
    if status <= 128:
        return f"it ended with status {status}"
    try:
        name = signal.Signals(status - 128).name
    except ValueError:
        name = f"signal {status - 128}"
    return f"it was ended by {name} (status {status})"


def details(process: "BridgeProcess", request: Request | None = None) -> dict[str, object]:
    """The same for a program."""
    known: dict[str, object] = {
        "worker_id": process.worker_id,
        "pid": process.pid,
        "exit_status": process.exit_status,
        "log": process.log_tail,
    }
    if request is not None:
        known |= {"command": request.command, "id": request.id}
    return known


def quoted_log(process: "BridgeProcess") -> str:
    """The end of the log, to be put behind a message; nothing if there is none."""
    lines = process.log_tail.splitlines()
    return "\n".join(["", "Its log ends with:", *(f"  {line}" for line in lines)]) if lines else ""
