"""Answers before there is a worker: pings, and nothing else; all other bytes are kept for the worker as they came."""

import os
import select
import time

from dspex_testkit.bridge.ping import ping_result
from dspex_testkit.errors import MalformedMessageError
from dspex_testkit.protocol import Response, encode_response, parse_request
from dspex_testkit.protocol.frames import HEADER_SIZE
from dspex_testkit.runtime.leaving import GRACE, leave
from dspex_testkit.runtime.log import Log
from dspex_testkit.runtime.stdio import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dspex_testkit.runtime.arguments import Arguments
    from dspex_testkit.runtime.host.messages import Lines
    from dspex_testkit.runtime.settings import Settings

_LARGEST_PING = 1 << 16
_MOST_KEPT = 1 << 20
"""Bytes that are read before the worker is there; the rest waits in the pipe."""


class EarlyAnswers:
    """Reads a client's first requests.

    Args:
        wire: Where frames come from and go to.
        log: Where it is written what happens.
        settings: What the bridge was told.
        arguments: The command line; it learns the worker's id from a ping.
        started: `time.monotonic` when the process started.
    """

    def __init__(self, wire: Wire, log: Log, settings: "Settings", arguments: "Arguments", *, started: float) -> None:
        self.unread = bytearray()
        """What was read and not answered."""
        self.answered = 0
        self._wire = wire
        self._log = log
        self._settings = settings
        self._arguments = arguments
        self._started = started
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
        """
        wire, host = self._wire, lines.connection.fileno()
        poll = select.poll()
        poll.register(host, select.POLLIN)
        if self._takes_more:
            poll.register(wire.fd_in, select.POLLIN)
        poll.register(wire.fd_out, 0)
        while True:
            left = None if self._ended_at is None else max(0.0, self._ended_at + GRACE - time.monotonic()) * 1000
            ready = dict(poll.poll(left))
            if host in ready:
                return lines.next()
            if wire.fd_out in ready or not ready:
                self._log.info("leaving: the client is gone")
                leave(0)
            if wire.fd_in in ready:
                self.take_in()
                if not self._takes_more:
                    poll.unregister(wire.fd_in)

    @property
    def _takes_more(self) -> bool:
        return self._ended_at is None and len(self.unread) < _MOST_KEPT

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
        arguments = self._arguments
        arguments.worker_id = arguments.worker_id or request.args.get("worker_id")
        has_key = bool(os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY"))
        result = ping_result(
            request.args,
            mode=arguments.mode,
            worker_id=arguments.worker_id,
            started=self._started,
            gemini_available=has_key or self._settings.offline_policy != "live",
        )
        self.answered += 1
        self._wire.send(encode_response(Response.ok(request.id, result)))
        return True
