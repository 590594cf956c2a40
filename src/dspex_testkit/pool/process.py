"""The client of one bridge process: starts it and greets it, says what is wrong with it, and ends it.

A process counts as started once it has answered its first ping. It is ended by a ladder of ever firmer requests, each
with a bound: the dialect's farewell, the end of its input, SIGTERM, SIGKILL. An error names who was asked what, how the
process is, and how its log ends. How it is asked is `Connection`'s to know.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Literal, Self

from dspex_testkit.errors import (
    MalformedMessageError,
    PoolError,
    RemoteProtocolError,
    WorkerExitedError,
    WorkerStartError,
    WorkerTimeoutError,
)
from dspex_testkit.managed import Managed
from dspex_testkit.pool import leftovers
from dspex_testkit.pool.channel import Channel
from dspex_testkit.pool.connection import Connection
from dspex_testkit.pool.dialects import STANDALONE, Dialect
from dspex_testkit.pool.errorlog import ErrorLog
from dspex_testkit.pool.launch import Launch, StartedProcess
from dspex_testkit.protocol import Request

Rung = Literal["before", "command", "end of input", "SIGTERM", "SIGKILL"]

_KILL_PATIENCE = 10.0
"""Seconds in which the system removes a killed process, on a machine that is busy."""
_REAPED_WITHIN = 2.0
"""Seconds that a process may take to end after it has closed its output."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended."""

    by: Rung
    """What ended it; ``before`` if it was gone already."""

    status: int | None
    """Its exit status, 128 + signal for a signal; None if it was never started, or could not even be killed."""


def new_worker_id() -> str:
    """A worker id in the form of DSPex's: a number and the time in microseconds."""
    return f"worker_{next(_numbers)}_{time.time_ns() // 1000}"


class BridgeProcess(Managed[Ending], Connection):
    """A bridge in a process of its own, standalone or as a pool's worker.

    Use it as a context manager, or call `start` and `stop` (`astart` and `astop` in an event loop).

    Args:
        launch: How the process is started.
        dialect: Which of DSPex's launchers to behave like; its limits are changed by `dataclasses.replace`.
        worker_id: Its name in a pool; made up for pool workers if None.
        ids: Where request ids come from; a pool's processes share one source.
        on_end: Called once, from another thread, when the process will answer no more.
    """

    def __init__(
        self,
        launch: Launch | None = None,
        *,
        dialect: Dialect = STANDALONE,
        worker_id: str | None = None,
        ids: Iterator[int] | None = None,
        on_end: "Callable[[BridgeProcess], None] | None" = None,
    ) -> None:
        self.launch = launch or Launch()
        self.worker_id = worker_id if worker_id or dialect.mode == "standalone" else new_worker_id()
        self.ending: Ending | None = None
        """How it was sent away, once `stop` has done so."""
        # A standalone bridge's first ping has taken the id 1.
        ids = ids or count((dialect.init_ping_id or 0) + 1)
        super().__init__(dialect, ids, owner=self.worker_id or "the standalone bridge")
        self._log = ErrorLog()
        self._on_end = on_end
        self._ended = threading.Event()
        self._stopping = threading.Lock()
        self._process: StartedProcess | None = None
        self._channel: Channel | None = None
        self._status: int | None = None

    def start(self) -> Self:
        """Start the process and wait for the answer to its first ping.

        Raises:
            WorkerStartError: It cannot be started, or refuses the ping.
            WorkerExitedError: It ended instead of answering.
            WorkerTimeoutError: It did not answer in time.
        """
        if self._process is not None:
            raise WorkerStartError(f"{self} was started before; make another BridgeProcess")
        try:
            self.spawn()
            self._greet()
        except BaseException:
            self.stop(by_force=True)
            raise
        return self

    def spawn(self) -> None:
        """Start the process and send it nothing, for callers that want to see the very first packets."""
        self._process = self.launch.start(self.dialect, self.worker_id, stderr=self._log.open())
        leftovers.remember(self._process.pid)
        self._channel = Channel(
            self._process.stdin,
            self._process.stdout,
            name=f"bridge {self.worker_id or self._process.pid}",
            on_payload=self._receive,
            on_garbage=lambda what: self._receive_unreadable(MalformedMessageError(f"{self} sent {what}")),
            on_end=self._end,
        )

    def stop(self, *, by_force: bool = False) -> Ending:
        """End the process; safe to call again, and from any thread.

        Args:
            by_force: Kill it at once, rather than only when it does not listen.
        """
        with self._stopping:
            if self.ending is None:
                rung = self._send_away(by_force=by_force)
                if self._channel is not None:
                    self._channel.close()
                self._log.close()
                self.ending = Ending(rung, self._status)
            return self.ending

    def close_stdin(self) -> None:
        """Close its standard input, which ends it; what a port does when its owner is gone."""
        if self._channel is not None:
            self._channel.close_input()

    def terminate(self) -> None:
        """Send SIGTERM."""
        if self._process is not None and not self._ended.is_set():
            self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL to it and all that it started."""
        if self._process is not None:
            self._process.kill()

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended; whether it has."""
        return self._process is None or self._ended.wait(timeout)

    def send_bytes(self, data: bytes) -> None:
        """Write bytes as they are, for faults.

        Raises:
            WorkerExitedError: The process does not read any more.
        """
        try:
            if self._channel is None:
                raise BrokenPipeError
            self._channel.send(data)
        except ConnectionError:
            raise WorkerExitedError(f"nothing can be sent to {self}: {self._condition()}{self._quoted_log()}") from None

    def __str__(self) -> str:
        name = f"worker {self.worker_id!r}" if self.worker_id else "the standalone bridge"
        return f"{name} (pid {self._process.pid})" if self._process else name

    @property
    def pid(self) -> int | None:
        """Its process id, once it was started."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether it was started and can still answer."""
        return self._process is not None and not self._ended.is_set()

    @property
    def exit_status(self) -> int | None:
        """How it ended, 128 + signal for a signal; None while it runs."""
        return self._status

    @property
    def log(self) -> str:
        """All that it wrote to its standard error."""
        return self._log.read()

    @property
    def log_tail(self) -> str:
        """The end of it."""
        return self._log.tail()

    # The first ping

    def _greet(self) -> None:
        """Send the dialect's first ping and wait for its answer."""
        dialect = self.dialect
        pending = self.submit("ping", dialect.init_args(self.worker_id), id=dialect.init_ping_id)
        response = self.result(pending, timeout=dialect.init_timeout)
        if response.success and (not dialect.init_needs_ok or response.result.get("status") == "ok"):
            return
        said = f"status {response.result.get('status')!r}" if response.success else response.message
        raise WorkerStartError(f"{self} refused its first ping: {said}{self._quoted_log()}", details=self._details())

    # The end

    def _send_away(self, *, by_force: bool) -> Rung:
        """End it by the farewell, the end of its input, SIGTERM or SIGKILL; says which of them it took."""
        if not self.alive:
            return "before"
        if not by_force and (rung := self._ask_to_end()) is not None:
            return rung
        self.kill()
        self.wait(_KILL_PATIENCE)
        return "SIGKILL"

    def _ask_to_end(self) -> Rung | None:
        if self.dialect.farewell is not None:
            if self._say_farewell():
                return "command"
            self.close_stdin()
            if self.wait(self.dialect.eof_patience):
                return "end of input"
        self.terminate()
        return "SIGTERM" if self.wait(self.dialect.kill_after) else None

    def _say_farewell(self) -> bool:
        """Send the last command and wait; whether the process has ended."""
        assert self.dialect.farewell is not None
        command, id, patience = self.dialect.farewell
        args = {"worker_id": self.worker_id} if self.worker_id else {}
        with suppress(PoolError, RemoteProtocolError):
            # A worker that serves another client, or reads no more, is not asked.
            pending = self.submit(command, args, id=id, health=True)
            if not self.dialect.farewell_ends_with_reply:
                return self.wait(patience)
            self.result(pending, timeout=patience)
        return not self.alive

    def _end(self) -> None:
        """Runs in the channel's thread, when there is nothing more to read."""
        assert self._process is not None
        self._status = self._process.wait(_REAPED_WITHIN)
        self._ended.set()
        self._fail_all()
        if self._on_end is not None:
            self._on_end(self)

    # What is said when it does not do what it should

    def _exited(self, request: Request) -> WorkerExitedError:
        return WorkerExitedError(
            f"{self} did not answer {request.command} (id {request.id}): {self._condition()}{self._quoted_log()}",
            details=self._details(request),
        )

    def _timed_out(self, request: Request, limit: float) -> WorkerTimeoutError:
        strays = self.strays
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
            f"{self} did not answer {request.command} (id {request.id}) within {limit:g} s{also}{self._quoted_log()}",
            details=self._details(request) | {"timeout": limit},
        )

    def _unreadable(self, error: MalformedMessageError) -> MalformedMessageError:
        text = f"{self} sent what is no answer: {error.message}{self._quoted_log()}"
        return MalformedMessageError(text, request_id=error.request_id)

    def _condition(self) -> str:
        """Why nothing more can be had of the process."""
        if self.pid is None:
            return "it was not started"
        if self.alive:
            return "its standard input is closed"
        status = self.exit_status
        if status is None:
            return "it closed its output but still runs"
        if status <= 128:
            return f"it ended with status {status}"
        try:
            name = signal.Signals(status - 128).name
        except ValueError:
            name = f"signal {status - 128}"
        return f"it was ended by {name} (status {status})"

    def _details(self, request: Request | None = None) -> dict[str, object]:
        """The same for a program."""
        known: dict[str, object] = {
            "worker_id": self.worker_id,
            "pid": self.pid,
            "exit_status": self.exit_status,
            "log": self.log_tail,
        }
        if request is not None:
            known |= {"command": request.command, "id": request.id}
        return known

    def _quoted_log(self) -> str:
        """The end of the log, to be put behind a message; nothing if there is none."""
        lines = self.log_tail.splitlines()
        return "\n".join(["", "Its log ends with:", *(f"  {line}" for line in lines)]) if lines else ""
