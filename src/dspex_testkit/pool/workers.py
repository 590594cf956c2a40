"""The workers of a pool: started when wanted, handed out, judged when they come back, replaced.

Workers start on threads of their own, so that neither a caller nor an event loop is held up; what waits, waits on a
future. Nothing that can block is done under the lock; it is held wherever a private method of `Workers` runs, but for
`_hire`, `_report_failed_start` and `_worker_ended`, which are the beginnings of threads.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

from dspex_testkit.errors import (
    PoolClosedError,
    RemoteCommandError,
    RemoteProtocolError,
    ResponseMismatchError,
    WorkerBusyError,
    WorkerTimeoutError,
)
from dspex_testkit.pool.checkout_queue import Affinity, CheckoutQueue, Ticket
from dspex_testkit.pool.process import BridgeProcess, Ending
from dspex_testkit.pool.status import WorkerState, WorkerStatus

OnEnd = Callable[[BridgeProcess], None]
Outcome = Literal["ok", "error", "close"]
"""``ok`` clears a worker's count of failures, ``error`` adds one, ``close`` removes the worker."""

_BY_SEVERITY: tuple[Outcome, ...] = ("ok", "error", "close")
_OK = (RemoteCommandError, WorkerBusyError)
_ERROR = (WorkerTimeoutError, ResponseMismatchError, RemoteProtocolError)


@dataclass(slots=True, eq=False)
class Worker:
    """A process and what the pool knows of it; the counts are those of `WorkerStatus`."""

    process: BridgeProcess
    worker_id: str
    lost: bool = False
    checkouts: int = 0
    requests: int = 0
    errors: int = 0
    failures: int = 0
    failed_health_pings: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count(self, *, requests: int = 0, errors: int = 0, failed_health_pings: int = 0) -> None:
        """Add to the worker's counts; its holder may call it from several threads."""
        with self._lock:
            self.requests += requests
            self.errors += errors
            self.failed_health_pings += failed_health_pings


class Workers:
    """The workers of one pool.

    Args:
        size: How many there may be.
        make: Makes the client of a worker yet to be started; it is given what to call when the worker ends.
        affinity: Which worker a session would like.
        serial: Whether workers start one after the other.
        eager: Whether one that ends is replaced at once, rather than when it is missed.
        failure_limit: Failures in a row after which a worker is removed; None keeps every one that lives.
        swallow_checkins: Whether a worker given back while another one starts is lost, as happens to DSPex.
    """

    def __init__(
        self,
        size: int,
        make: Callable[[OnEnd], BridgeProcess],
        affinity: Affinity,
        *,
        serial: bool,
        eager: bool,
        failure_limit: int | None,
        swallow_checkins: bool,
    ) -> None:
        self.size = size
        self.started = 0
        self.removed = 0
        self._make = make
        self._eager = eager
        self._failure_limit = failure_limit
        self._swallow_checkins = swallow_checkins
        self._turn: threading.Lock | nullcontext[None] = threading.Lock() if serial else nullcontext()
        self._lock = threading.Lock()
        self._queue = CheckoutQueue(affinity)
        self._workers: dict[str, Worker] = {}
        self._starting = 0
        self._closed = False
        self._hired: set[BridgeProcess] = set()
        self._threads: set[threading.Thread] = set()

    def join(self, session_id: str | None) -> Ticket:
        """Stand in line for a worker.

        Raises:
            PoolClosedError: There will be none any more.
        """
        with self._lock:
            self._refuse_if_closed()
            ticket = self._queue.join(session_id)
            self._settle()
            return ticket

    def leave(self, ticket: Ticket) -> bool:
        """Ask no more; false if a worker, or an error, was handed out already."""
        with self._lock:
            return self._queue.leave(ticket)

    def worker(self, worker_id: str) -> Worker:
        """A worker that was handed out.

        Raises:
            PoolClosedError: The pool was stopped in between.
        """
        with self._lock:
            self._refuse_if_closed()
            worker = self._workers[worker_id]
            worker.checkouts += 1
            return worker

    def give_back(self, worker: Worker, outcome: Outcome) -> None:
        """A client is done with a worker."""
        with self._lock:
            if self._workers.get(worker.worker_id) is not worker:
                return
            worker.failures = worker.failures + 1 if outcome == "error" else 0
            if not worker.process.alive or self._has_failed(worker, outcome):
                self._remove(worker)
            elif self._swallow_checkins and self._starting:
                worker.lost = True
                self._queue.remove(worker.worker_id)
                # Its port closes with the client that held it.
                worker.process.close_stdin()
            else:
                self._queue.put(worker.worker_id)
            self._settle()

    def take_idle(self) -> list[Worker]:
        """All idle workers, to be given back."""
        with self._lock:
            idle = [self._workers[worker_id] for worker_id in self._queue.idle]
            for worker in idle:
                self._queue.take(worker.worker_id)
            return idle

    def living(self) -> list[Worker]:
        """All workers that can answer, busy or not."""
        with self._lock:
            return [worker for worker in self._workers.values() if worker.process.alive and not worker.lost]

    def fill(self) -> "list[Future[None]]":
        """Start as many workers as there is room for; one future for each."""
        with self._lock:
            self._refuse_if_closed()
            return [self._start_one() for _ in range(self._room())]

    def stop(self) -> list[Ending]:
        """End all workers and wait for it; callers that wait get an error."""
        with self._lock:
            self._closed = True
            while (ticket := self._queue.pop_waiting()) is not None:
                ticket.future.set_exception(PoolClosedError("the pool was stopped while this call waited for a worker"))
            processes = [worker.process for worker in self._workers.values()]
            self._workers.clear()
            hired, threads = list(self._hired), list(self._threads)
        for process in hired:
            process.kill()
        with ThreadPoolExecutor(max(1, len(processes)), thread_name_prefix="bridge-pool stop") as executor:
            endings = list(executor.map(BridgeProcess.stop, processes))
        for thread in threads:
            thread.join()
        return endings

    def status(self) -> tuple[tuple[WorkerStatus, ...], int, int]:
        """The workers, how many are being started, and how many callers wait."""
        with self._lock:
            workers = tuple(
                WorkerStatus(
                    worker_id=worker.worker_id,
                    pid=worker.process.pid,
                    state=self._state_of(worker),
                    checkouts=worker.checkouts,
                    requests=worker.requests,
                    errors=worker.errors,
                    failures=worker.failures,
                    failed_health_pings=worker.failed_health_pings,
                )
                for worker in self._workers.values()
            )
            return workers, self._starting, self._queue.waiting

    def _settle(self) -> None:
        """Hand out what is idle, and start what is missing."""
        for worker_id in self._queue.idle:
            if not self._workers[worker_id].process.alive:
                self._remove(self._workers[worker_id])
        for ticket, worker_id in self._queue.match():
            ticket.future.set_result(worker_id)
        for _ in range(min(self._room(), self._queue.in_need_of_a_new_worker - self._starting)):
            self._start_one()

    def _room(self) -> int:
        return self.size - len(self._workers) - self._starting

    def _start_one(self) -> "Future[None]":
        done: Future[None] = Future()
        self._starting += 1
        self._in_background(self._hire, done)
        return done

    def _has_failed(self, worker: Worker, outcome: Outcome) -> bool:
        limit = self._failure_limit
        return limit is not None and (outcome == "close" or worker.failures >= limit)

    def _remove(self, worker: Worker) -> None:
        del self._workers[worker.worker_id]
        self._queue.remove(worker.worker_id)
        self.removed += 1
        self._in_background(worker.process.stop)
        if self._eager and not self._closed and self._room() > 0:
            self._start_one()

    def _in_background(self, work: Callable[..., object], *args: object) -> None:
        def run() -> None:
            try:
                work(*args)
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name=f"bridge-pool {work.__name__}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise PoolClosedError("the pool was stopped; make another one")

    def _state_of(self, worker: Worker) -> WorkerState:
        if worker.lost:
            return "lost"
        if not worker.process.alive:
            return "dead"
        return "busy" if worker.worker_id in self._queue.busy else "idle"

    def _hire(self, done: "Future[None]") -> None:
        process = self._make(self._worker_ended)
        try:
            with self._turn:
                with self._lock:
                    self._refuse_if_closed()
                    self._hired.add(process)
                process.start()
        except BaseException as error:
            done.set_exception(error)
            self._report_failed_start(process, error)
            return
        with self._lock:
            self._starting -= 1
            self._hired.discard(process)
            too_late = self._closed
            if not too_late:
                assert process.worker_id is not None
                self.started += 1
                self._workers[process.worker_id] = Worker(process, process.worker_id)
                self._queue.put(process.worker_id)
                self._settle()
        if too_late:
            process.stop()
        done.set_result(None)

    def _report_failed_start(self, process: BridgeProcess, error: BaseException) -> None:
        """Whoever waits longest learns why there is no worker; the others get their own try."""
        with self._lock:
            self._starting -= 1
            self._hired.discard(process)
            ticket = self._queue.pop_waiting()
            if ticket is not None:
                ticket.future.set_exception(error)
            if not self._closed:
                self._settle()

    def _worker_ended(self, process: BridgeProcess) -> None:
        with self._lock:
            worker = self._workers.get(process.worker_id or "")
            # One that somebody holds is removed when it is given back, a lost one keeps its place.
            if worker is not None and worker.worker_id in self._queue.idle and not self._closed:
                self._remove(worker)
                self._settle()


def wait_for_all(started: "list[Future[None]]") -> None:
    """Wait until all workers are there; raises the first error once it is known how each fared."""
    wait(started)
    for future in started:
        future.result()


def outcome_of(error: BaseException | None) -> Outcome:
    """How a worker is given back after this.

    An error that the bridge answered says nothing against the worker; a late, wrong or unreadable answer does. After
    anything else, an exception of the client's own included, nobody knows what state the worker is in.
    """
    if error is None or isinstance(error, _OK):
        return "ok"
    return "error" if isinstance(error, _ERROR) else "close"


def worst(first: Outcome, second: Outcome) -> Outcome:
    """The one that weighs more."""
    return max(first, second, key=_BY_SEVERITY.index)
