"""Checking a worker out of a pool, and back in.

A `Checkout` joins the queue of the pool's `Workers` with a ticket and waits for its future, in a thread or an event
loop. The worker that it gets comes wrapped as a `CheckedOutWorker`, which notes the worst of what happens in the block:

    ok      the worker goes back into the pool
    error   the same, with a failure counted; a pool with a failure limit removes the worker after too many in a row
    close   such a pool removes the worker at once, because nobody knows what its pipe holds

A wait that times out looks once more, since a worker may have been handed over in that moment; one that is cancelled
gives such a worker back. Either way no worker is lost.
"""

import asyncio
from contextlib import suppress
from types import TracebackType

from dspex_testkit.errors import PoolError, PoolExhaustedError
from dspex_testkit.pool.checkout_queue import Ticket
from dspex_testkit.pool.client import Args, BridgeClient
from dspex_testkit.pool.process import BridgeProcess
from dspex_testkit.pool.status import WorkerStatus
from dspex_testkit.pool.workers import Outcome, Worker, Workers, outcome_of, worst
from dspex_testkit.protocol import Response


class CheckedOutWorker(BridgeClient):
    """A worker that belongs to one client until it is given back.

    What the client meets meanwhile decides how the worker is given back.

    Args:
        worker: The worker.
        timeout: Seconds that a command may take.
    """

    def __init__(self, worker: Worker, timeout: float) -> None:
        self._worker = worker
        self._timeout = timeout
        self.outcome: Outcome = "ok"
        """How the worker will be given back."""

    @property
    def process(self) -> BridgeProcess:
        """The worker's process."""
        return self._worker.process

    @property
    def worker_id(self) -> str:
        """The worker's name."""
        return self._worker.worker_id

    def ask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """The answer to one command, as of `BridgeProcess.ask`."""
        try:
            return self._count(self.process.ask(command, args, timeout=self._limit(timeout)))
        except BaseException as error:
            self.note(error)
            raise

    async def aask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """`ask` for an event loop."""
        try:
            return self._count(await self.process.aask(command, args, timeout=self._limit(timeout)))
        except BaseException as error:
            self.note(error)
            raise

    def note(self, error: BaseException | None) -> None:
        """Let something that the client met count against the worker."""
        self.outcome = worst(self.outcome, outcome_of(error))

    def _limit(self, timeout: float | None) -> float:
        self._worker.count(requests=1)
        return self._timeout if timeout is None else timeout

    def _count(self, response: Response) -> Response:
        self._worker.count(errors=not response.success)
        return response


class Checkout:
    """A wish for a worker, fulfilled by ``with`` or ``async with``.

    Args:
        workers: Where the worker comes from.
        session_id: For whom; None for a call without a session.
        patience: Seconds to wait for it.
        timeout: Seconds that a command may take.
    """

    def __init__(self, workers: Workers, session_id: str | None, *, patience: float, timeout: float) -> None:
        self._workers = workers
        self._session_id = session_id
        self._patience = patience
        self._timeout = timeout
        self._checked_out: CheckedOutWorker | None = None
        self._worker: Worker | None = None

    def __enter__(self) -> CheckedOutWorker:
        ticket = self._workers.join(self._session_id)
        try:
            worker_id = ticket.future.result(self._patience)
        except TimeoutError:
            worker_id = self._last_look(ticket)
        except BaseException:
            self._withdraw(ticket)
            raise
        return self._take(worker_id)

    async def __aenter__(self) -> CheckedOutWorker:
        ticket = self._workers.join(self._session_id)
        try:
            async with asyncio.timeout(self._patience):
                worker_id = await asyncio.wrap_future(ticket.future)
        except TimeoutError:
            worker_id = self._last_look(ticket)
        except BaseException:
            self._withdraw(ticket)
            raise
        return self._take(worker_id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._checked_out is not None
        assert self._worker is not None
        self._checked_out.note(error)
        self._workers.give_back(self._worker, self._checked_out.outcome)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _take(self, worker_id: str) -> CheckedOutWorker:
        self._worker = self._workers.worker(worker_id)
        self._checked_out = CheckedOutWorker(self._worker, self._timeout)
        return self._checked_out

    def _last_look(self, ticket: Ticket) -> str:
        """The worker that came in the very last moment."""
        if not self._workers.leave(ticket):
            return ticket.future.result(0)
        workers, starting, waiting = self._workers.status()
        raise PoolExhaustedError(
            f"no worker became free within {self._patience:g} s: {_describe(workers)}, {starting} being started, "
            f"{waiting} other callers waiting; give workers back sooner, or let the pool have more than "
            f"{self._workers.size}",
            details={"timeout": self._patience, "size": self._workers.size, "waiting": waiting, "starting": starting},
        )

    def _withdraw(self, ticket: Ticket) -> None:
        """The caller wants no worker any more; one that was handed to it already goes back."""
        if not self._workers.leave(ticket):
            with suppress(PoolError):
                self._workers.give_back(self._workers.worker(ticket.future.result(0)), "ok")


def _describe(workers: tuple[WorkerStatus, ...]) -> str:
    return ", ".join(f"{worker.worker_id} is {worker.state}" for worker in workers) or "no worker was started"
