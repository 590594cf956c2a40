"""Who gets which worker, and when: idle workers in a row, waiting callers in a row, and which one a session would like.

Knows no process and no thread; the pool holds its lock around every call.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol


class Affinity(Protocol):
    """Remembers who served whom. The pool calls it under its lock, so it must be quick."""

    strict: bool
    """Whether a session waits for its worker as long as that lives, rather than take another one."""

    def home_of(self, session_id: str | None) -> str | None:
        """The worker that a session would like; None if any will do."""
        ...

    def served(self, session_id: str | None, worker_id: str) -> None:
        """A worker was given to a session."""
        ...

    def gone(self, worker_id: str) -> None:
        """A worker is no more."""
        ...


class AnyWorker:
    """Prefers the worker that has been idle longest, as DSPex's pools do."""

    strict = False

    def home_of(self, session_id: str | None) -> str | None:
        """Any will do."""
        return None

    def served(self, session_id: str | None, worker_id: str) -> None:
        """Nothing is remembered."""

    def gone(self, worker_id: str) -> None:
        """Nothing is remembered."""


class SessionAffinity:
    """The worker that served the session last.

    Args:
        strict: Wait for it while it is busy, rather than take another one.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._homes: dict[str, str] = {}

    def home_of(self, session_id: str | None) -> str | None:
        """Who served the session last; any will do for calls without a session."""
        return None if session_id is None else self._homes.get(session_id)

    def served(self, session_id: str | None, worker_id: str) -> None:
        """The session's home is there from now on."""
        if session_id is not None:
            self._homes[session_id] = worker_id

    def gone(self, worker_id: str) -> None:
        """Its sessions go wherever there is room."""
        self._homes = {session: home for session, home in self._homes.items() if home != worker_id}


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A caller's place in the row."""

    session_id: str | None
    """For whom a worker is wanted."""

    future: "Future[str]" = field(default_factory=Future)
    """The id of the worker, or why there is none."""

    def __post_init__(self) -> None:
        # Marked as running, it cannot be cancelled behind the pool's back.
        self.future.set_running_or_notify_cancel()


class CheckoutQueue:
    """Idle workers and waiting callers, both served first in, first out.

    Args:
        affinity: Which worker a session would like.
    """

    def __init__(self, affinity: Affinity) -> None:
        self._affinity = affinity
        self._idle: dict[str, None] = {}
        self._busy: set[str] = set()
        self._waiting: dict[Ticket, None] = {}

    @property
    def idle(self) -> tuple[str, ...]:
        """Idle workers, the one that waits longest first."""
        return tuple(self._idle)

    @property
    def busy(self) -> frozenset[str]:
        """Workers that are checked out."""
        return frozenset(self._busy)

    @property
    def waiting(self) -> int:
        """Callers without a worker."""
        return len(self._waiting)

    @property
    def in_need_of_a_new_worker(self) -> int:
        """Callers that no living worker is held back for."""
        return sum(1 for ticket in self._waiting if self._held_for(ticket) is None)

    def join(self, session_id: str | None) -> Ticket:
        """Stand in line."""
        ticket = Ticket(session_id)
        self._waiting[ticket] = None
        return ticket

    def leave(self, ticket: Ticket) -> bool:
        """Stand in line no more; false if a worker, or an error, was handed out already."""
        if ticket not in self._waiting:
            return False
        del self._waiting[ticket]
        return True

    def put(self, worker_id: str) -> None:
        """A worker is idle, new or given back."""
        self._busy.discard(worker_id)
        self._idle[worker_id] = None

    def take(self, worker_id: str) -> None:
        """Check out an idle worker past the queue."""
        del self._idle[worker_id]
        self._busy.add(worker_id)

    def remove(self, worker_id: str) -> None:
        """A worker is no more."""
        self._idle.pop(worker_id, None)
        self._busy.discard(worker_id)
        self._affinity.gone(worker_id)

    def match(self) -> Iterator[tuple[Ticket, str]]:
        """Give idle workers to those who wait."""
        for ticket in tuple(self._waiting):
            worker_id = self._choose(ticket)
            if worker_id is not None:
                del self._waiting[ticket]
                self.take(worker_id)
                self._affinity.served(ticket.session_id, worker_id)
                yield ticket, worker_id

    def pop_waiting(self) -> Ticket | None:
        """Send the first in line away."""
        ticket = next(iter(self._waiting), None)
        if ticket is not None:
            del self._waiting[ticket]
        return ticket

    def _choose(self, ticket: Ticket) -> str | None:
        home = self._affinity.home_of(ticket.session_id)
        if home in self._idle:
            return home
        return None if self._held_for(ticket) else next(iter(self._idle), None)

    def _held_for(self, ticket: Ticket) -> str | None:
        home = self._affinity.home_of(ticket.session_id) if self._affinity.strict else None
        return home if home in self._busy else None
