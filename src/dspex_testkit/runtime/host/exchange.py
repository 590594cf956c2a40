"""The host's end of the workers' `RemoteStore` connections: messages in the order in which they were sent.

Whoever has an answer from one worker may ask another one what came of it, so what the first told must be done before
the second is answered, although they come on connections of their own and nobody waited. Each message says when it
was sent, by the one clock of the machine; the exchange reads all connections, and serves what is old enough that
nothing sent before it can still be unread.
"""

import select
import socket
import time

from dspex_testkit.bridge.remote.board import Board
from dspex_testkit.bridge.remote.service import StoreService
from dspex_testkit.bridge.state import InProcessStore
from dspex_testkit.protocol import NEED_DATA, Frame, FrameDecoder, codec, encode_frame
from dspex_testkit.protocol.frames import LARGEST_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_READ_SIZE = 1 << 18


class Line:
    """One worker's connection.

    Args:
        connection: A stream socket that does not block.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._decoder = FrameDecoder(LARGEST_SIZE)
        self._outbox = bytearray()

    @property
    def waiting(self) -> bool:
        """Whether something could not be sent yet."""
        return bool(self._outbox)

    def read(self) -> "list[Any]":
        """Every message that is there now."""
        while True:
            try:
                data = self.connection.recv(_READ_SIZE)
            except OSError:
                break
            self._decoder.feed_data(data)
            if len(data) < _READ_SIZE:
                break
        messages: list[Any] = []
        while (event := self._decoder.next_event()) is not NEED_DATA:
            assert isinstance(event, Frame)
            messages += codec.loads(event.payload)
        return messages

    def send(self, data: bytes = b"") -> None:
        """Send as much as fits; the rest stays for the next time."""
        self._outbox += data
        while self._outbox:
            try:
                sent = self.connection.send(self._outbox, socket.MSG_NOSIGNAL)
            except OSError:
                return  # full, or gone; both are seen by `poll`
            del self._outbox[:sent]


class Exchange:
    """Serves one store to many workers.

    Args:
        board: Tells the workers of changes.
        poll: Is made to wait for what workers say, and for room to answer.
    """

    def __init__(self, board: Board, poll: select.poll) -> None:
        self._board = board
        self._poll = poll
        self._service: StoreService | None = None
        self._lines: dict[int, Line] = {}
        self._unserved: list[tuple[int, int, Any]] = []

    @property
    def busy(self) -> bool:
        """Whether there is something to serve without anything new arriving."""
        return bool(self._unserved)

    def add(self, connection: socket.socket) -> None:
        """Begin to listen to a worker."""
        connection.setblocking(False)
        self._lines[connection.fileno()] = Line(connection)
        self._poll.register(connection, select.POLLIN)

    def remove(self, connection: socket.socket) -> None:
        """Do what a worker that has ended said last, and listen no more."""
        self.serve([connection.fileno()])
        while self._unserved:
            self.serve([])
        self._poll.unregister(connection)
        del self._lines[connection.fileno()]

    def serve(self, ready: "Iterable[int]") -> None:
        """Read everything, and answer what was sent before the reading of the ready ones had ended.

        Args:
            ready: Descriptors of which the poll has told something; others may be among them.
        """
        told = [fd for fd in ready if fd in self._lines]
        if not told and not self._unserved:
            return
        for fd in told:
            self._read(fd)
        now = time.monotonic_ns()
        if len(self._lines) > 1:
            for fd in self._lines:
                self._read(fd)
        self._unserved.sort(key=lambda entry: entry[0])
        while self._unserved and self._unserved[0][0] <= now:
            _, fd, message = self._unserved.pop(0)
            self._answer(fd, message)
        for fd in told:
            self._send(fd)

    def _read(self, fd: int) -> None:
        self._unserved += [(message[0], fd, message) for message in self._lines[fd].read()]

    def _send(self, fd: int, data: bytes = b"") -> None:
        if (line := self._lines.get(fd)) is not None and (data or line.waiting):
            line.send(data)
            self._poll.modify(fd, select.POLLIN | (select.POLLOUT if line.waiting else 0))

    def _answer(self, fd: int, message: "Any") -> None:
        _, *call = message
        if self._service is None or len(call) == 1:
            if self._service is None:
                # The pool's first worker says how long its sessions live and how much its journal keeps.
                self._service = StoreService(InProcessStore(**call[0]), self._board)
            return
        if (answer := self._service.answer(call)) is not None:
            self._send(fd, encode_frame(answer))
