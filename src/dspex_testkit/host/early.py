"""Answers before there is a worker: pings, and nothing else; all other bytes are kept for the worker as they came."""

import select
import time

from dspex_testkit.errors import MalformedMessageError
from dspex_testkit.host.messages import LONGEST_SILENCE
from dspex_testkit.protocol import encode_response, parse_request
from dspex_testkit.protocol.frames import HEADER_SIZE
from dspex_testkit.runtime.early_ping import answer_ping
from dspex_testkit.runtime.shutdown import GRACE, leave
from dspex_testkit.runtime.startup import Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dspex_testkit.host.messages import Lines

_LARGEST_PING = 1 << 16
_MOST_KEPT = 1 << 20
"""Bytes that are read before the worker is there; the rest waits in the pipe."""


class EarlyAnswers:
    """Reads a client's first requests.

    Args:
        process: This process, with what it was told; its command line learns the worker's id from a ping.
    """

    def __init__(self, process: Started) -> None:
        self.unread = bytearray()
        """What was read and not answered."""
        self.answered = 0
        self._wire = process.wire
        self._log = process.log
        self._settings = process.settings
        self._arguments = process.arguments
        self._started = process.at
        self._seen = 0
        self._ended_at: float | None = None

    def take_in(self) -> None:
        """Read once, answer pings, and leave where the client has gone and left no question.

        Raises:
            ConnectionError: Nobody reads the answers any more.
        """
        if data := self._wire.read():
            self.unread += data
        else:
            self._ended_at = time.monotonic()
        self._answer_pings()
        if self._ended_at is not None and not self._has_request():
            self._log.info("the client closed its end")
            leave(0)

    def until(self, lines: "Lines") -> "dict[str, Any] | None":
        """Take in what comes until the host says something; None where it ends instead.

        Raises:
            ConnectionError: Nobody reads the answers any more.
            TimeoutError: It says nothing for too long.
        """
        wire, host = self._wire, lines.connection.fileno()
        poll = select.poll()
        poll.register(host, select.POLLIN)
        # Where nothing more is taken in, it is still seen that a client has gone.
        poll.register(wire.fd_in, select.POLLIN if self._takes_more else 0)
        poll.register(wire.fd_out, 0)
        silent_until = time.monotonic() + LONGEST_SILENCE
        while True:
            until = silent_until if self._ended_at is None else self._ended_at + GRACE
            ready = dict(poll.poll(max(0.0, until - time.monotonic()) * 1000))
            if host in ready:
                return lines.next()
            if not ready and self._ended_at is None:
                raise TimeoutError(f"the warm host has said nothing for {LONGEST_SILENCE:g} s; is it stopped?")
            if wire.fd_out in ready or not ready:
                self._log.info("leaving: the client is gone")
                leave(0)
            if wire.fd_in in ready:
                if ready[wire.fd_in] & select.POLLIN and self._takes_more:
                    self.take_in()
                elif self._ended_at is None:
                    self._ended_at = time.monotonic()
                if self._ended_at is not None:
                    poll.unregister(wire.fd_in)
                elif not self._takes_more:
                    poll.modify(wire.fd_in, 0)

    @property
    def _takes_more(self) -> bool:
        return self._ended_at is None and len(self.unread) < _MOST_KEPT

    def _has_request(self) -> bool:
        head, body = self.unread[:HEADER_SIZE], self.unread[HEADER_SIZE:]
        return len(head) == HEADER_SIZE and len(body) >= int.from_bytes(head, "big")

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
        arguments = self._arguments
        arguments.worker_id = arguments.worker_id or request.args.get("worker_id")
        mode, worker_id = arguments.mode, arguments.worker_id
        pong = answer_ping(request, self._settings, mode=mode, worker_id=worker_id, started=self._started)
        self.answered += 1
        self._wire.send(encode_response(pong))
        return True
