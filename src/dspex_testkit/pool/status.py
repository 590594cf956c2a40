"""What a pool can say about itself at one moment."""

from dataclasses import dataclass
from typing import Literal

from dspex_testkit.pool.sessions import SessionInfo

WorkerState = Literal["idle", "busy", "lost", "dead"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker."""

    worker_id: str
    """Its name."""

    pid: int | None
    """Its process."""

    state: WorkerState
    """``lost`` is a worker whose check-in was swallowed: it takes up room and serves nobody."""

    checkouts: int
    """How often it was handed out."""

    requests: int
    """Commands it was sent by clients."""

    errors: int
    """Commands that it answered with an error."""

    failures: int
    """Failures in a row: timeouts, mismatches and unreadable packets."""

    failed_health_pings: int
    """Pings of a monitor that it did not answer in time."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool."""

    size: int
    """How many workers it may have."""

    workers: tuple[WorkerStatus, ...]
    """Those it has, in the order of their start."""

    starting: int
    """Workers being started."""

    waiting: int
    """Callers that wait for a worker."""

    started: int
    """Workers started so far."""

    removed: int
    """Workers that were removed, or ended by themselves."""

    sessions: tuple[SessionInfo, ...]
    """Sessions in use."""

    uptime: float
    """Seconds since the pool was opened."""

    def count(self, state: WorkerState) -> int:
        """How many workers are in a state."""
        return sum(worker.state == state for worker in self.workers)

    def __str__(self) -> str:
        states = [f"{self.count(state)} {state}" for state in ("idle", "busy", "lost", "dead") if self.count(state)]
        states += [f"{number} {what}" for number, what in ((self.starting, "starting"),) if number]
        return f"{len(self.workers)} of {self.size} workers ({', '.join(states) or 'none'}), {self.waiting} waiting"
