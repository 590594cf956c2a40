"""The launched process where there is a host: the hand-over to a worker, then the wait.

Where the host runs already, the worker is there before this process could have imported what a ping's answer takes,
so everything is handed over as it is. Until a host has been started, pings are answered here.

Afterwards it is the process that lives and dies with its worker. It waits for the host to tell how the worker has
ended, and sees to that end where the client or a signal wants one and the worker, stopped or stuck outside of Python,
does not hear of it. A host that is stopped tells nothing; then the system does, which keeps how a process has ended
until its parent asks.
"""

import os
import select
import time

from dspex_testkit.runtime.log import Log
from dspex_testkit.runtime.processes import status_of_dead
from dspex_testkit.runtime.shutdown import GRACE, leave
from dspex_testkit.runtime.signals import SIGNALS, kill, only_tell
from dspex_testkit.runtime.startup import Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from dspex_testkit.host.early import EarlyAnswers
    from dspex_testkit.host.messages import Lines

_PATIENCE = 0.4
"""Seconds that a worker has to end by itself, beyond what an answer may take."""
_HOST_PATIENCE = 2.0
"""Seconds that a host has to tell of a worker that has ended, and to end what that has left behind."""
_STOP_WRITING = 1  # SHUT_WR
_TRIES = 3
_AT_ONCE = 0.05
"""Seconds in which a host that is not busy importing has forked a worker."""


class Launcher:
    """Brings a client and a worker together.

    Args:
        process: This process, with what it was told.
    """

    def __init__(self, process: Started) -> None:
        self._process = process
        self._log = process.log
        self._early: EarlyAnswers | None = None

    @property
    def unread(self) -> bytes:
        """What was read and not answered."""
        return b"" if self._early is None else bytes(self._early.unread)

    @property
    def answered(self) -> int:
        """How many commands were answered."""
        return 0 if self._early is None else self._early.answered

    def run(self) -> None:
        """Serve through a worker and end with it; returns where there is none to be had.

        Then what `unread` holds is still to be answered, by this process.

        Raises:
            ConnectionError: Nobody reads the answers any more.
        """
        from dspex_testkit.host.place import Unavailable

        try:
            for _ in range(_TRIES):
                lines = self._reach()
                message = self._first_word(lines)
                if message is not None and "refused" in message:
                    raise Unavailable(str(message["refused"]))
                # The host may have been on its way out, or been killed.
                if message is not None and self._hand_over(lines):
                    self._stay(lines, int(message["worker"]))
        except Unavailable as reason:
            self._log.warning(f"running without the warm host: {reason}")
        else:
            self._log.warning("running without the warm host: it ends as soon as it is started")

    def _reach(self) -> "Lines":
        """The way to the host, which is started if it is not there; the first ping does not wait for that.

        Raises:
            Unavailable: There can be none.
        """
        from dspex_testkit.host.place import find_place

        place = find_place(os.getppid())
        # Not every system that has no host could import these.
        from dspex_testkit.host.contact import connect, reach
        from dspex_testkit.host.messages import Lines

        connection = connect(place)
        if connection is None:
            # A client that was heard before may be waiting, and say nothing more.
            if self._early is None:
                self._answer_early().take_in()
            connection = reach(place, linger=self._process.settings.host_linger)
        return Lines(connection)

    def _first_word(self, lines: "Lines") -> "dict[str, Any] | None":
        """What the host says to a new connection; None where it has ended.

        Raises:
            Unavailable: It says nothing.
        """
        from dspex_testkit.host.place import Unavailable

        if self._early is None:
            try:
                return lines.next_within(_AT_ONCE)
            except TimeoutError:
                pass  # it is still importing
        try:
            return self._answer_early().until(lines)
        except TimeoutError as error:
            raise Unavailable(str(error)) from None

    def _answer_early(self) -> "EarlyAnswers":
        if self._early is None:
            from dspex_testkit.host.early import EarlyAnswers

            self._early = EarlyAnswers(self._process)
        return self._early

    def _hand_over(self, lines: "Lines") -> bool:
        """Whether there was still somebody to take everything; if not, nothing is lost."""
        from dspex_testkit.host.messages import HandOver

        wire, arguments = self._process.wire, self._process.arguments
        told = HandOver.of_this_process(
            mode=arguments.mode,
            worker_id=arguments.worker_id,
            flags=arguments.flags,
            home=self._process.home,
            started=self._process.at,
            answered=self.answered,
            unread=self.unread,
            descriptors=[wire.fd_in, wire.fd_out, *([] if wire.fd_err is None else [wire.fd_err])],
        )
        try:
            told.send(lines.connection)
        except ConnectionError:
            return False
        os.close(wire.fd_out)
        return True

    def _stay(self, lines: "Lines", worker: int) -> None:
        process = self._process
        Companion(lines, worker, client=process.wire.fd_in, signals=process.signals, log=process.log).stay()


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
        """Wait until the worker ends, then exit with its status."""
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
