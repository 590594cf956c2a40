"""How one process is asked: requests go out, and each packet that comes back finds the request that it answers.

Three ways, after DSPex's three kinds of clients: `ById`, `OneAtATime` and `FirstPacket`. An answer that nobody waits
for any more is counted, never delivered to somebody else, except where the original does so (`FirstPacket`: the next
client of a worker meets the late answer to the one before, and fails).
"""

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from dspex_testkit.errors import (
    MalformedMessageError,
    ResponseMismatchError,
    WorkerBusyError,
    WorkerExitedError,
    WorkerTimeoutError,
)
from dspex_testkit.pool.client import Args, BridgeClient
from dspex_testkit.pool.dialects import Correlation, Dialect
from dspex_testkit.protocol import Request, Response, encode_frame, encode_request, parse_response


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A request under way."""

    request: Request
    """What was asked."""

    health: bool
    """Whether it is a ping of a monitor, which does not wait for its turn."""

    future: "Future[Response]" = field(default_factory=Future)
    """Its answer, or why there is none."""

    def __post_init__(self) -> None:
        # Marked as running, it cannot be cancelled: a task that waits for it may end without it.
        self.future.set_running_or_notify_cancel()


@dataclass(slots=True)
class Strays:
    """Counts of packets that no request was waiting for."""

    late: int = 0
    """Answers to requests that had been given up."""

    unknown: int = 0
    """Answers to requests that were never made, or were answered before."""

    undecodable: int = 0
    """Packets that are no answer at all."""


class ById:
    """Any number of requests in flight, each answered under its id.

    Args:
        owner: Who answers, for messages.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.strays = Strays()
        self._lock = threading.Lock()
        self._pending: dict[int, Pending] = {}
        self._given_up: dict[int, Pending] = {}

    @property
    def unanswered(self) -> int:
        """Requests without an answer, including those whose caller has given up."""
        return len(self._pending) + len(self._given_up)

    def add(self, request: Request, *, health: bool = False) -> Pending:
        """Expect an answer.

        Raises:
            WorkerBusyError: This has to wait for the answer to another request.
        """
        pending = Pending(request, health)
        with self._lock:
            self._refuse_if_busy(pending)
            self._pending[request.id] = pending
        return pending

    def receive(self, response: Response) -> None:
        """Deliver an answer."""
        with self._lock:
            pending = self._pending.pop(response.id, None)
            if pending is None:
                if self._given_up.pop(response.id, None) is None:
                    self.strays.unknown += 1
                else:
                    self.strays.late += 1
                return
        pending.future.set_result(response)

    def receive_undecodable(self, error: Exception, request_id: int | None) -> None:
        """Take a packet that is no answer; the request that it names fails, others wait on."""
        with self._lock:
            self.strays.undecodable += 1
            pending = self._pending.pop(request_id, None) if request_id is not None else None
        if pending is not None:
            pending.future.set_exception(error)

    def give_up(self, pending: Pending) -> None:
        """Wait no more; the answer may still come."""
        with self._lock:
            if self._pending.pop(pending.request.id, None) is not None:
                self._given_up[pending.request.id] = pending

    def fail_all(self, error_of: Callable[[Request], Exception]) -> None:
        """No answer will come any more."""
        with self._lock:
            failed = list(self._pending.values())
            self._pending.clear()
            self._given_up.clear()
        for pending in failed:
            pending.future.set_exception(error_of(pending.request))

    def _refuse_if_busy(self, pending: Pending) -> None:
        """Nobody has to wait."""


class OneAtATime(ById):
    """One command in flight, also while its answer is late; pings of a monitor go beside it."""

    def _refuse_if_busy(self, pending: Pending) -> None:
        if pending.health:
            return
        for other in (*self._pending.values(), *self._given_up.values()):
            if not other.health:
                raise WorkerBusyError(
                    f"{self.owner} has not answered {other.request.command} (id {other.request.id}) yet, "
                    f"so {pending.request.command} cannot be sent",
                    details={"running": other.request.command, "id": other.request.id, "worker_id": self.owner},
                )


class FirstPacket(ById):
    """One client at a time, who takes the first packet that comes and wants it to be the right one."""

    def receive(self, response: Response) -> None:
        """Deliver each packet that has come to the request that it answers; others are counted and dropped."""
        with self._lock:
            pending = next(iter(self._pending.values()), None)
            if pending is None:
                if self._given_up.pop(response.id, None) is None:
                    self.strays.unknown += 1
                else:
                    self.strays.late += 1
                return
            self._pending.clear()
            self._given_up.pop(response.id, None)
        expected = pending.request.id
        if response.id == expected:
            pending.future.set_result(response)
            return
        with self._lock:
            # Its own answer is still to come, for the next client or for nobody.
            self._given_up[expected] = pending
        pending.future.set_exception(
            ResponseMismatchError(
                f"Expected ID {expected}, got {response.id}: what {self.owner} sent after {pending.request.command} "
                "answers another request, most likely one that was given up",
                details={"expected": expected, "actual": response.id, "worker_id": self.owner},
            )
        )

    def receive_undecodable(self, error: Exception, request_id: int | None) -> None:
        """Fail the request in flight, because the packet that cannot be read must be its answer."""
        with self._lock:
            waiting = next(iter(self._pending), None)
        super().receive_undecodable(error, waiting)

    def _refuse_if_busy(self, pending: Pending) -> None:
        if self._pending:
            other = next(iter(self._pending.values())).request
            raise WorkerBusyError(
                f"{self.owner} serves one client at a time, and one waits for the answer to {other.command} "
                f"(id {other.id})",
                details={"running": other.command, "id": other.id, "worker_id": self.owner},
            )


def correlation(kind: Correlation, owner: str) -> ById:
    """The table for one process."""
    return {"by_id": ById, "one_at_a_time": OneAtATime, "first_packet": FirstPacket}[kind](owner)


class Connection(BridgeClient):
    """Sends requests and matches answers. A subclass has the pipe and knows the state of the process behind it.

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
        """How many packets came that answered no waiting request."""
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
