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
        messages = []
        while (event := self._decoder.next_event()) is not NEED_DATA:
            assert isinstance(event, Frame)
            messages.append(codec.loads(event.payload))
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
    """

    def __init__(self, board: Board) -> None:
        self._board = board
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

    def remove(self, connection: socket.socket) -> None:
        """Do what a worker that has ended said last, and listen no more."""
        self.serve()
        while self._unserved:
            self.serve()
        del self._lines[connection.fileno()]

    def register(self, poll: select.poll) -> None:
        """Have `poll` wait for what workers say, and for room to answer."""
        for fd, line in self._lines.items():
            poll.register(fd, select.POLLIN | (select.POLLOUT if line.waiting else 0))

    def serve(self) -> None:
        """Read everything, and answer what was sent before the reading ended for the first time."""
        self._read()
        now = time.monotonic_ns()
        self._read()
        self._unserved.sort(key=lambda entry: entry[0])
        while self._unserved and self._unserved[0][0] <= now:
            _, fd, message = self._unserved.pop(0)
            self._answer(self._lines.get(fd), message)
        for line in self._lines.values():
            line.send()

    def _read(self) -> None:
        for fd, line in self._lines.items():
            self._unserved += [(message[0], fd, message) for message in line.read()]

    def _answer(self, line: Line | None, message: "Any") -> None:
        _, *call = message
        if self._service is None or len(call) == 1:
            if self._service is None:
                # The pool's first worker says how long its sessions live and how much its journal keeps.
                self._service = StoreService(InProcessStore(**call[0]), self._board)
            return
        if (answer := self._service.answer(call)) is not None and line is not None:
            line.send(encode_frame(answer))
