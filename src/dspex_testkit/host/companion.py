"""What a launcher is once its worker serves: the process that lives and dies with it.

It waits for the host to tell how the worker has ended, and sees to that end where the client or a signal wants one
and the worker, stopped or stuck outside of Python, does not hear of it. A host that is stopped tells nothing; then the
system does, which keeps how a process has ended until its parent asks.
"""

import os
import select
import time

from dspex_testkit.runtime.log import Log
from dspex_testkit.runtime.processes import status_of_dead
from dspex_testkit.runtime.shutdown import GRACE, leave
from dspex_testkit.runtime.signals import SIGNALS, kill, only_tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from dspex_testkit.host.messages import Lines

_PATIENCE = 0.4
"""Seconds that a worker has to end by itself, beyond what an answer may take."""
_HOST_PATIENCE = 2.0
"""Seconds that a host has to tell of a worker that has ended, and to end what that has left behind."""
_STOP_WRITING = 1  # SHUT_WR


class Companion:
    """Stays until a worker has ended.

    Args:
        lines: What the host says of it.
        worker: Its process.
        client: Hangs up when the client is gone.
        signals: The number of each signal can be read here.
        log: Where it is written what happens.
    """

    def __init__(self, lines: "Lines", worker: int, *, client: int, signals: int, log: Log) -> None:
        self._lines = lines
        self._client = client
        self._signals = signals
        self._log = log
        self._deadline: float | None = None
        self._asked = False
        self._pid = worker
        self._status: int | None = None
        only_tell()
        try:
            self._worker: int | None = os.pidfd_open(worker)
        except ProcessLookupError:
            self._worker = None

    def stay(self) -> "NoReturn":
        """Wait for the end, and end alike."""
        host = self._lines.connection.fileno()
        poll = select.poll()
        poll.register(host, select.POLLIN)
        poll.register(self._signals, select.POLLIN)
        poll.register(self._client, 0)
        if self._worker is not None:
            poll.register(self._worker, select.POLLIN)
        while True:
            ready = dict(poll.poll(self._time_left()))
            if host in ready:
                self._hear()
            elif self._signals in ready:
                if any(number in SIGNALS for number in os.read(self._signals, 64)):
                    self._log.info("leaving on a signal")
                    self._ask_to_end()
            elif self._worker in ready:
                poll.unregister(self._worker)
                self._notice_end()
            elif self._client in ready:
                # The worker itself sees that the client is gone; one that is stuck does not.
                poll.unregister(self._client)
                if self._deadline is None:
                    self._deadline = time.monotonic() + GRACE + _PATIENCE / 4
            elif self._status is not None:
                self._log.error("the warm host does not tell how the worker has ended; is it stopped?")
                leave(0 if self._asked else self._status, alone=True)
            elif self._asked:
                self._end_worker()
                leave(0, alone=True)
            else:
                self._ask_to_end()

    def _time_left(self) -> "float | None":
        """Milliseconds until the worker is to be ended; None while nobody wants that."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic()) * 1000

    def _ask_to_end(self) -> None:
        if self._asked:
            return
        self._asked = True
        self._deadline = time.monotonic() + _PATIENCE
        try:
            self._lines.connection.shutdown(_STOP_WRITING)
        except OSError:
            return  # a host that is gone will be seen to be

    def _notice_end(self) -> None:
        """Remember how the worker ended, for the case that the host does not tell."""
        self._status = status_of_dead(self._pid)
        if self._status is not None:
            self._deadline = time.monotonic() + _HOST_PATIENCE

    def _hear(self) -> None:
        """End as the worker did."""
        message = self._lines.next()
        if message is None:
            self._log.error("the warm host has ended, and with it the state of the pool")
            self._await_worker()
            self._end_worker()
            leave(0 if self._asked else 1, alone=True)
        if "lost" in message:
            self._log.error(f"the warm host has failed: {message['lost']}")
            return
        status = message.get("exit")
        self._log.info(f"the worker ended with status {status}")
        leave(0 if self._asked or not isinstance(status, int) else status, alone=True)

    def _end_worker(self) -> None:
        if self._worker is not None:
            kill(self._worker)
            self._await_worker()

    def _await_worker(self) -> None:
        if self._worker is not None:
            poll = select.poll()
            poll.register(self._worker, select.POLLIN)
            poll.poll(_PATIENCE * 1000)
