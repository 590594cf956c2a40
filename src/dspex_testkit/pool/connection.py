"""How one process is asked: requests go out, and each packet that comes back finds the request that it answers."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator

from dspex_testkit.errors import MalformedMessageError, WorkerExitedError, WorkerTimeoutError
from dspex_testkit.pool.client import Args, BridgeClient
from dspex_testkit.pool.correlation import Pending, Strays, correlation
from dspex_testkit.pool.dialects import Dialect
from dspex_testkit.protocol import Request, Response, encode_frame, encode_request, parse_response


class Connection(BridgeClient):
    """Asks what stands at the other end of a pipe; whoever extends it owns the pipe and knows how its owner fares.

    Any thread may ask; how many requests may be in flight is the dialect's to say.

    Args:
        dialect: How answers find their requests, and how long they may take.
        ids: Where request ids come from.
        owner: Who is asked, for messages.
    """

    def __init__(self, dialect: Dialect, ids: Iterator[int], *, owner: str) -> None:
        self.dialect = dialect
        self.tamper: Callable[[bytes], Iterable[bytes]] | None = None
        """Changes what arrives: given a packet's payload, gives the ones to deliver. For faults."""
        self._ids = ids
        self._table = correlation(dialect.correlation, owner)

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it can still answer."""

    @abstractmethod
    def send_bytes(self, data: bytes) -> None:
        """Write bytes as they are.

        Raises:
            WorkerExitedError: Nobody reads them any more.
        """

    @abstractmethod
    def _exited(self, request: Request) -> WorkerExitedError:
        """What is said where no answer will come."""

    @abstractmethod
    def _timed_out(self, request: Request, limit: float) -> WorkerTimeoutError:
        """What is said where none has come within `limit` seconds."""

    @abstractmethod
    def _unreadable(self, error: MalformedMessageError) -> MalformedMessageError:
        """What is said where something else has come."""

    def ask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """The answer to one command.

        Raises:
            WorkerExitedError: The process is gone, or ends instead of answering.
            WorkerTimeoutError: It does not answer in time. It may still do so later.
            WorkerBusyError: It takes one command at a time, and another one is under way.
            ResponseMismatchError: The packet that came answers another request.
            MalformedMessageError: The packet that came is no answer.
            LocalProtocolError: The arguments have no JSON form; nothing was sent.
        """
        return self.result(self.submit(command, args), timeout=timeout)

    async def aask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """`ask` for an event loop."""
        pending = self.submit(command, args)
        limit = self._limit(timeout)
        try:
            async with asyncio.timeout(limit):
                return await asyncio.wrap_future(pending.future)
        except TimeoutError:
            self._table.give_up(pending)
            raise self._timed_out(pending.request, limit) from None
        except asyncio.CancelledError:
            self._table.give_up(pending)
            raise

    def submit(self, command: str, args: Args | None = None, *, id: int | None = None, health: bool = False) -> Pending:
        """Send a command without waiting; `result` waits, as may `Pending.future`.

        Args:
            command: Its name.
            args: Its arguments.
            id: Its id; the next unique one if None.
            health: Whether it may be sent while another command runs, where that is one at a time.

        Raises:
            WorkerExitedError: The process is gone.
            WorkerBusyError: It takes one command at a time, and another one is under way.
            LocalProtocolError: The arguments have no JSON form; nothing was sent.
        """
        request = Request(next(self._ids) if id is None else id, command, dict(args or {}))
        frame = encode_frame(encode_request(request))
        pending = self._table.add(request, health=health)
        # Looked at once the request is in the table: an end that comes later fails whatever is in there.
        if not self.alive:
            self._table.give_up(pending)
            raise self._exited(request)
        try:
            self.send_bytes(frame)
        except WorkerExitedError:
            self._table.give_up(pending)
            raise self._exited(request) from None
        return pending

    def result(self, pending: Pending, *, timeout: float | None = None) -> Response:
        """Wait for the answer to what was sent by `submit`; raises what `ask` raises."""
        limit = self._limit(timeout)
        try:
            return pending.future.result(limit)
        except TimeoutError:
            self._table.give_up(pending)
            raise self._timed_out(pending.request, limit) from None

    def deliver(self, payload: bytes) -> None:
        """Take a packet as if it had just come, for faults."""
        try:
            response = parse_response(payload)
        except MalformedMessageError as error:
            self._receive_unreadable(error)
        else:
            self._table.receive(response)

    @property
    def unanswered(self) -> int:
        """Requests that an answer is still owed to, those that were given up included."""
        return self._table.unanswered

    @property
    def strays(self) -> Strays:
        """How many packets came that nobody waited for."""
        return self._table.strays

    def _receive(self, payload: bytes) -> None:
        for delivered in (payload,) if self.tamper is None else self.tamper(payload):
            self.deliver(delivered)

    def _receive_unreadable(self, error: MalformedMessageError) -> None:
        self._table.receive_undecodable(self._unreadable(error), error.request_id)

    def _fail_all(self) -> None:
        """No answer will come any more."""
        self._table.fail_all(self._exited)

    def _limit(self, timeout: float | None) -> float:
        return self.dialect.call_timeout if timeout is None else timeout
