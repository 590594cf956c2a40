"""The launched process where there is a host: pings first, then the hand-over, then the wait.

It reads until the host has a worker for it, and of what it reads it answers pings alone; everything else it keeps for
the worker, byte for byte. After that it does nothing but live and die with the worker: it is the process whose status
the owner sees, and whose end by whatever means ends the worker.
"""

import os
import select
import signal
import time

from dspex_testkit.bridge.ping import ping_result
from dspex_testkit.errors import MalformedMessageError
from dspex_testkit.protocol import Response, encode_response, parse_request
from dspex_testkit.protocol.frames import HEADER_SIZE
from dspex_testkit.runtime.leaving import GRACE, leave
from dspex_testkit.runtime.log import Log
from dspex_testkit.runtime.signals import SIGNALS
from dspex_testkit.runtime.stdio import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket

    from dspex_testkit.runtime.arguments import Arguments
    from dspex_testkit.runtime.host.messages import Lines
    from dspex_testkit.runtime.settings import Settings

_LARGEST_PING = 1 << 16
_MOST_KEPT = 1 << 20
"""Bytes that are read before the worker is there; the rest waits in the pipe."""
_TRIES = 3
_PATIENCE = 0.4
"""Seconds that a worker has to end by itself, beyond what an answer may take."""


class Launcher:
    """Stands in for a bridge until the host has one, and in front of it from then on.

    Args:
        wire: Where frames come from and go to.
        log: Where it is written what happens.
        settings: What the bridge was told.
        arguments: The command line.
        home: Folder in which the settings file is looked for.
        started: `time.monotonic` when the process started.
        signals: A descriptor on which the number of each signal can be read.
    """

    def __init__(
        self,
        wire: Wire,
        log: Log,
        settings: "Settings",
        arguments: "Arguments",
        *,
        home: "str | None",
        started: float,
        signals: int,
    ) -> None:
        self.unread = bytearray()
        """What was read and not answered."""
        self.answered = 0
        self.worker_id = arguments.worker_id
        self._wire = wire
        self._log = log
        self._settings = settings
        self._arguments = arguments
        self._home = home
        self._started = started
        self._signals = signals
        self._seen = 0
        self._ended_at: float | None = None

    def run(self) -> None:
        """Serve through a worker and end with it; returns where there is none to be had.

        Then what `unread` holds is still to be answered, by this process.

        Raises:
            ConnectionError: Nobody reads the answers any more.
        """
        self._take_in()
        from dspex_testkit.runtime.host.place import Unavailable, find_place

        try:
            for _ in range(_TRIES):
                place = find_place(os.getppid())
                from dspex_testkit.runtime.host.contact import reach

                connection = reach(place, linger=self._settings.host_linger)
                if (worker := self._wait_for_worker(connection)) is not None:
                    self._hand_over(connection)
                    self._stay(connection, *worker)
        except Unavailable as reason:
            self._log.warning(f"running without the warm host: {reason}")
        else:
            self._log.warning("running without the warm host: it ends as soon as it is started")

    def _take_in(self) -> None:
        """Read once, answer pings, and leave where the client has gone and left no question."""
        if data := self._wire.read():
            self.unread += data
        else:
            self._ended_at = time.monotonic()
        self._answer_pings()
        if self._ended_at is not None and not self._has_request():
            self._log.info("the client closed its end")
            leave(0)

    def _has_request(self) -> bool:
        unread = self.unread
        return len(unread) >= HEADER_SIZE + int.from_bytes(unread[:HEADER_SIZE], "big") if unread[3:] else False

    def _answer_pings(self) -> None:
        """Answer the pings among what was read. In a pool's worker nothing overtakes what came before it."""
        unread = self.unread
        while len(unread) - self._seen >= HEADER_SIZE:
            size = int.from_bytes(unread[self._seen : self._seen + HEADER_SIZE], "big")
            end = self._seen + HEADER_SIZE + size
            if len(unread) < end:
                return
            if size <= _LARGEST_PING and self._answer(bytes(unread[self._seen + HEADER_SIZE : end])):
                del unread[self._seen : end]
            elif self._arguments.mode == "pool-worker":
                return
            else:
                self._seen = end

    def _answer(self, payload: bytes) -> bool:
        try:
            request = parse_request(payload)
        except MalformedMessageError:
            return False
        if request.command != "ping":
            return False
        self.worker_id = self.worker_id or request.args.get("worker_id")
        has_key = bool(os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY"))
        result = ping_result(
            request.args,
            mode=self._arguments.mode,
            worker_id=self.worker_id,
            started=self._started,
            gemini_available=has_key or self._settings.offline_policy != "live",
        )
        self.answered += 1
        self._wire.send(encode_response(Response.ok(request.id, result)))
        return True

    def _wait_for_worker(self, connection: "socket") -> "tuple[Lines, int] | None":
        """Answer pings until the host has a worker; gives its lines and the worker's id.

        None where the host has ended: it may have been on its way out.

        Raises:
            Unavailable: It refuses.
        """
        from dspex_testkit.runtime.host.messages import Lines
        from dspex_testkit.runtime.host.place import Unavailable

        lines = Lines(connection)
        host, poll = connection.fileno(), select.poll()
        poll.register(host, select.POLLIN)
        poll.register(self._wire.fd_in, select.POLLIN)
        poll.register(self._wire.fd_out, 0)
        while True:
            left = None if self._ended_at is None else max(0.0, self._ended_at + GRACE - time.monotonic()) * 1000
            ready = dict(poll.poll(left))
            if host in ready:
                break
            if self._wire.fd_out in ready or not ready:
                self._log.info("leaving: the client is gone")
                leave(0)
            if self._wire.fd_in in ready:
                self._take_in()
                if self._ended_at is not None or len(self.unread) >= _MOST_KEPT:
                    poll.unregister(self._wire.fd_in)
        message = lines.next()
        if message is None:
            return None
        if "refused" in message:
            raise Unavailable(str(message["refused"]))
        return lines, int(message["worker"])

    def _hand_over(self, connection: "socket") -> None:
        from dspex_testkit.runtime.host.messages import HandOver

        wire = self._wire
        HandOver.of_this_process(
            mode=self._arguments.mode,
            worker_id=self.worker_id,
            flags=self._arguments.flags,
            home=self._home,
            started=self._started,
            answered=self.answered,
            unread=bytes(self.unread),
            descriptors=[wire.fd_in, wire.fd_out, *([] if wire.fd_err is None else [wire.fd_err])],
        ).send(connection)
        os.close(wire.fd_out)

    def _stay(self, connection: "socket", lines: "Lines", worker: int) -> None:
        """Wait for the end of the worker, and see to it if the client or a signal wants one."""
        for number in SIGNALS:
            # The number still arrives on the descriptor; the handler would leave before the worker has.
            signal.signal(number, lambda *_: None)
        try:
            watched = os.pidfd_open(worker)
        except ProcessLookupError:
            watched = None
        host, client = connection.fileno(), self._wire.fd_in
        poll = select.poll()
        poll.register(host, select.POLLIN)
        poll.register(self._signals, select.POLLIN)
        poll.register(client, 0)
        deadline: float | None = None
        asked = False
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = dict(poll.poll(left))
            if host in ready:
                self._end(lines.next(), asked=asked, watched=watched)
            elif not ready and asked:
                self._kill(watched)
                leave(0)
            elif self._signals in ready and any(number in SIGNALS for number in os.read(self._signals, 64)):
                self._log.info("leaving on a signal")
                asked, deadline = self._ask_to_end(connection)
            elif not ready:
                # The worker itself sees that the client is gone; one that is stuck outside of Python does not.
                asked, deadline = self._ask_to_end(connection)
            elif client in ready:
                poll.unregister(client)
                if deadline is None:
                    deadline = time.monotonic() + GRACE + _PATIENCE / 4

    def _ask_to_end(self, connection: "socket") -> "tuple[bool, float]":
        import socket
        from contextlib import suppress

        with suppress(OSError):  # a host that is gone will be seen to be
            connection.shutdown(socket.SHUT_WR)
        return True, time.monotonic() + _PATIENCE

    def _end(self, message: "dict[str, object] | None", *, asked: bool, watched: "int | None") -> None:
        """End as the worker did."""
        if message is None:
            self._log.error("the warm host has ended, and with it the state of the pool")
            self._await_end(watched)
            self._kill(watched)
            leave(0 if asked else 1)
        if "lost" in message:
            self._log.error(f"the warm host has failed: {message['lost']}")
            return
        status = message.get("exit")
        self._log.info(f"the worker ended with status {status}")
        leave(0 if asked or not isinstance(status, int) else status)

    def _await_end(self, watched: "int | None") -> None:
        if watched is not None:
            poll = select.poll()
            poll.register(watched, select.POLLIN)
            poll.poll(_PATIENCE * 1000)

    def _kill(self, watched: "int | None") -> None:
        if watched is not None:
            try:
                signal.pidfd_send_signal(watched, signal.SIGKILL)
            except ProcessLookupError:
                return
