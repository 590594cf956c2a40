"""The host's end of the workers' `RemoteStore` connections: messages in the order in which they were sent.

Each pool has a store of its own; a worker's first message names its pool.

Whoever has an answer from one worker may ask another one what came of it, so what the first told must be done before
the second is answered, although they come on connections of their own and nobody waited. Each message says when it
was sent, by the one clock of the machine; the server reads all connections, and serves what is old enough that
nothing sent before it can still be unread.
"""

import select
import socket
import time

from dspex_testkit.bridge.state.in_process import InProcessStore
from dspex_testkit.bridge.state.remote.board import Board
from dspex_testkit.bridge.state.remote.service import StoreService
from dspex_testkit.calls import Accounts
from dspex_testkit.protocol import NEED_DATA, Frame, FrameDecoder, codec, encode_frame
from dspex_testkit.protocol.frames import LARGEST_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_READ_SIZE = 1 << 18
_MOST_POOLS = 32
"""Beyond these, pools without a worker are forgotten, the one longest without a new worker first."""


class StoreConnection:
    """One worker's connection.

    Args:
        connection: A stream socket that does not block.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.service: StoreService | None = None
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
            messages += codec.loads(event.payload, trusted=True)
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


class StoreServer:
    """Serves each pool's store to its workers.

    Args:
        board: Tells the workers of changes.
        poll: Is made to wait for what workers say, and for room to answer.
    """

    def __init__(self, board: Board, poll: select.poll) -> None:
        self._board = board
        self._poll = poll
        self._services: dict[str, StoreService] = {}
        self._lines: dict[int, StoreConnection] = {}
        self._unserved: list[tuple[int, int, Any]] = []

    @property
    def busy(self) -> bool:
        """Whether there is something to serve without anything new arriving."""
        return bool(self._unserved)

    def add(self, connection: socket.socket) -> None:
        """Begin to listen to a worker."""
        connection.setblocking(False)
        self._lines[connection.fileno()] = StoreConnection(connection)
        self._poll.register(connection, select.POLLIN)

    def remove(self, connection: socket.socket, *, orderly: bool) -> None:
        """Do what a worker that has ended said last, and listen no more.

        Args:
            connection: Of the worker.
            orderly: It was let go. What the last one of a pool leaves open then, nobody will come back for.
        """
        self.serve([connection.fileno()])
        while self._unserved:
            self.serve([])
        self._poll.unregister(connection)
        line = self._lines.pop(connection.fileno())
        service = line.service
        if service is not None:
            # Calls that it had begun will not end any more.
            _accounts_of(service).release_all_of(line)
        if orderly and service is not None and not self._is_served(service):
            service.store.close()

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
        line = self._lines[fd]
        if line.service is None:
            line.service = self._join(*call)
        else:
            _accounts_of(line.service).act_for(line)
            if (answer := line.service.answer(call)) is not None:
                self._send(fd, encode_frame(answer))

    def _join(self, pool: str, kept: "dict[str, Any]") -> StoreService:
        """The store of a pool; its first worker says how long sessions live and how much the journal keeps."""
        service = self._services.pop(pool, None) or StoreService(InProcessStore(**kept), self._board)
        idle = [name for name, other in self._services.items() if not self._is_served(other)]
        for name in idle[: max(0, len(self._services) + 1 - _MOST_POOLS)]:
            self._services.pop(name).store.close()
        # The one that had a new worker last stands last.
        self._services[pool] = service
        return service

    def _is_served(self, service: StoreService) -> bool:
        return any(line.service is service for line in self._lines.values())


def _accounts_of(service: StoreService) -> Accounts:
    accounts = service.store.accounts
    assert isinstance(accounts, Accounts), "here the store is no remote one"
    return accounts
