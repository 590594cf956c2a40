"""Which answer belongs to which request. Knows requests and responses, but no pipe and no process.

Three ways, after DSPex's three kinds of clients: `ById`, `OneAtATime` and `FirstPacket`. An answer that nobody waits
for any more is counted, never delivered to somebody else, except where the original does so (`FirstPacket`: the next
client of a worker meets the late answer to the one before, and fails).
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from dspex_testkit.errors import ResponseMismatchError, WorkerBusyError
from dspex_testkit.pool import dialects
from dspex_testkit.protocol import Request, Response


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
    """Packets that were delivered to nobody."""

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
        """Requests in flight, those that nobody waits for included."""
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
                self._count_stray(response.id)
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

    def _count_stray(self, id: int) -> None:
        if self._given_up.pop(id, None) is None:
            self.strays.unknown += 1
        else:
            self.strays.late += 1


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
        """Deliver whatever came to whoever waits; packets for nobody are dropped."""
        with self._lock:
            pending = next(iter(self._pending.values()), None)
            if pending is None:
                self._count_stray(response.id)
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
        """Whoever waits has got the first packet, such as it is."""
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


def correlation(kind: dialects.Correlation, owner: str) -> ById:
    """The table for one process."""
    return {"by_id": ById, "one_at_a_time": OneAtATime, "first_packet": FirstPacket}[kind](owner)
