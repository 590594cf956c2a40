"""A pool of workers, as DSPex runs one."""

import time
from itertools import count
from typing import Self

from dspex_testkit.errors import UsageError, WorkerBusyError
from dspex_testkit.managed import Managed
from dspex_testkit.pool.broadcast import Monitor, ask_idle, ping_workers
from dspex_testkit.pool.checkout import Checkout
from dspex_testkit.pool.checkout_queue import Affinity, AnyWorker
from dspex_testkit.pool.client import Args, BridgeClient, result_of
from dspex_testkit.pool.dialects import V2, Dialect
from dspex_testkit.pool.launch import Launch
from dspex_testkit.pool.process import BridgeProcess, Ending
from dspex_testkit.pool.sessions import ANONYMOUS, SessionStore
from dspex_testkit.pool.status import PoolStatus
from dspex_testkit.pool.workers import OnEnd, Workers, wait_for_all
from dspex_testkit.protocol import Response

HEALTH_TIMEOUT = 5.0
"""Seconds that a monitor's ping may take."""


class BridgePool(Managed[None], BridgeClient):
    """Workers that serve any caller, in threads or in an event loop.

    A command asked of the pool goes to the worker that has been idle longest, or as the affinity wants it; a
    ``session_id`` among its arguments says whose it is. `session` and `anonymous` add what DSPex adds. `checkout` gives
    a worker for several commands in a row.

    Use it as a context manager, or call `start` and `stop` (`astart` and `astop` in an event loop).

    Args:
        size: How many workers there may be.
        launch: How their processes are started.
        dialect: Which of DSPex's pools to behave like: `V1`, `V2` or `V3`; its limits are changed by
            `dataclasses.replace`.
        eager: Whether all workers start with the pool; the dialect's way if None.
        affinity: Which worker a session would like; any by default.
        sessions: What is remembered of sessions; a store may be shared by pools.
        swallow_checkins: Whether to lose a worker that is given back while another one starts, as DSPex's V2 does.
        health_interval: Seconds between health pings; None sends none.

    Raises:
        UsageError: The size is less than one, or the dialect is none of a pool.
    """

    def __init__(
        self,
        size: int = 2,
        *,
        launch: Launch | None = None,
        dialect: Dialect = V2,
        eager: bool | None = None,
        affinity: Affinity | None = None,
        sessions: SessionStore | None = None,
        swallow_checkins: bool = False,
        health_interval: float | None = None,
    ) -> None:
        if size < 1:
            raise UsageError(f"a pool has at least one worker, not {size}")
        if dialect.mode != "pool-worker":
            raise UsageError(f"a pool speaks V1, V2 or V3, not {dialect.name!r}; a BridgeProcess speaks that")
        self.dialect = dialect
        self.eager = dialect.eager if eager is None else eager
        self.sessions = sessions or SessionStore()
        self.endings: list[Ending] = []
        """How the workers ended that were there when the pool was stopped."""
        self._launch = (launch or Launch()).of_one_pool()
        self._ids = count(1)
        self._opened = time.monotonic()
        self._workers = Workers(
            size,
            self._make_worker,
            affinity or AnyWorker(),
            serial=dialect.serial_start,
            eager=dialect.eager,
            failure_limit=dialect.failure_limit,
            swallow_checkins=swallow_checkins,
        )
        self._monitor = None if health_interval is None else Monitor(self.check_health, health_interval)

    def start(self) -> Self:
        """Open the pool; an eager one has all its workers afterwards, a lazy one none.

        Raises:
            PoolError: A worker did not start. Nothing is left behind.
        """
        if self._monitor is not None:
            self._monitor.start()
        if self.eager:
            try:
                self.warm_up()
            except BaseException:
                self.stop()
                raise
        return self

    def warm_up(self) -> None:
        """Start the workers that are missing, and wait until they are there.

        Raises:
            PoolError: A worker did not start.
        """
        wait_for_all(self._workers.fill())

    def stop(self) -> None:
        """End all workers and wait for it; `endings` then says how each went. Safe to call again."""
        self.endings += self._workers.stop()
        if self._monitor is not None:
            self._monitor.stop()

    def checkout(self, session_id: str | None = None, *, timeout: float | None = None) -> Checkout:
        """A worker to keep for a while, by ``with`` or ``async with``.

        An exception that leaves the block, other than a command's failure, removes the worker, because nobody knows
        what state it is in.

        Args:
            session_id: For whom; None, or `ANONYMOUS`, for a call without a session.
            timeout: Seconds to wait for it; the pool's if None.

        Raises:
            PoolExhaustedError: None became free in time.
            PoolClosedError: The pool was stopped.
            WorkerStartError, WorkerExitedError, WorkerTimeoutError: A new one was needed and did not start.
        """
        patience = self.dialect.checkout_timeout if timeout is None else timeout
        asked_by = None if session_id == ANONYMOUS else session_id
        return Checkout(self._workers, asked_by, patience=patience, timeout=self.dialect.call_timeout)

    def ask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """The answer of one worker to one command.

        Raises:
            PoolError: As of `checkout` and of `BridgeProcess.ask`.
        """
        return self.ask_as(session_in(args), command, args, timeout=timeout)

    async def aask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """`ask` for an event loop."""
        return await self.aask_as(session_in(args), command, args, timeout=timeout)

    def ask_as(
        self, session_id: str | None, command: str, args: Args | None = None, *, timeout: float | None = None
    ) -> Response:
        """`ask` on behalf of a session that need not be among the arguments.

        Args:
            session_id: Whose worker and whose programs are wanted; None for a call without a session.
            command: The command.
            args: Its arguments, sent as they are but for ``program_data``.
            timeout: Seconds that it may take; the pool's if None.
        """
        sent = self.sessions.outgoing(command, args or {}, session_id)
        with self.checkout(session_id) as worker:
            response = worker.ask(command, sent, timeout=timeout)
        self.sessions.learn(command, sent, session_id, response)
        return response

    async def aask_as(
        self, session_id: str | None, command: str, args: Args | None = None, *, timeout: float | None = None
    ) -> Response:
        """`ask_as` for an event loop."""
        sent = self.sessions.outgoing(command, args or {}, session_id)
        async with self.checkout(session_id) as worker:
            response = await worker.aask(command, sent, timeout=timeout)
        self.sessions.learn(command, sent, session_id, response)
        return response

    def session(self, session_id: str) -> BridgeClient:
        """What DSPex's `execute_in_session` does: every command carries the id, and programs are remembered with it.

        In the session `ANONYMOUS` nothing is remembered.
        """
        return Caller(self, session_id, sent_id=session_id)

    def anonymous(self) -> BridgeClient:
        """What DSPex's `execute_anonymous` does: programs are remembered for every caller without a session."""
        return Caller(self, None, sent_id=self.dialect.anonymous_session)

    def status(self) -> PoolStatus:
        """How the pool is."""
        workers, starting, waiting = self._workers.status()
        return PoolStatus(
            size=self._workers.size,
            workers=workers,
            starting=starting,
            waiting=waiting,
            started=self._workers.started,
            removed=self._workers.removed,
            sessions=self.sessions.sessions(),
            uptime=time.monotonic() - self._opened,
        )

    def processes(self) -> dict[str, BridgeProcess]:
        """The processes of the workers that live, by worker id; for faults and for a look inside."""
        return {worker.worker_id: worker.process for worker in self._workers.living()}

    def check_health(self, *, timeout: float = HEALTH_TIMEOUT) -> dict[str, bool]:
        """Ping workers; which of them answered in time.

        Workers of V3 are pinged also while they are busy, those of the other pools when they are idle.
        """
        return ping_workers(self._workers, self.dialect, timeout=timeout)

    def broadcast(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> dict[str, Response]:
        """The answers of all workers that are idle, by worker id; they are asked at the same time.

        Raises:
            PoolError: A worker did not answer. All of them were asked all the same.
        """
        limit = self.dialect.call_timeout if timeout is None else timeout
        answers = ask_idle(self._workers, command, args, timeout=limit)
        for answer in answers.values():
            if not isinstance(answer, Response):
                raise answer
        return {worker.worker_id: answer for worker, answer in answers.items() if isinstance(answer, Response)}

    def reset(self) -> None:
        """Reset the state of all workers and of the pool itself, so that it can serve the next test.

        Raises:
            WorkerBusyError: A worker is still in somebody's hands.
            PoolError: A worker could not be reset.
        """
        busy = [worker.worker_id for worker in self.status().workers if worker.state == "busy"]
        if busy:
            raise WorkerBusyError(
                f"the pool cannot be reset while {', '.join(busy)} "
                f"{'is' if len(busy) == 1 else 'are'} checked out; give every worker back first",
                details={"busy": busy},
            )
        self.sessions.clear()
        for response in self.broadcast("reset_state").values():
            result_of("reset_state", response)

    def _make_worker(self, on_end: OnEnd) -> BridgeProcess:
        return BridgeProcess(self._launch, dialect=self.dialect, ids=self._ids, on_end=on_end)


class Caller(BridgeClient):
    """Asks a pool on behalf of one session, or of none.

    Args:
        pool: Who is asked.
        session_id: Whose programs are remembered; None for callers without a session.
        sent_id: The session id that goes with every command; None sends none.
    """

    def __init__(self, pool: BridgePool, session_id: str | None, *, sent_id: str | None) -> None:
        self._pool = pool
        self._session_id = session_id
        self._added = {} if sent_id is None else {"session_id": sent_id}

    def ask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """The answer to one command, as of `BridgePool.ask`."""
        return self._pool.ask_as(self._session_id, command, {**(args or {}), **self._added}, timeout=timeout)

    async def aask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """`ask` for an event loop."""
        sent = {**(args or {}), **self._added}
        return await self._pool.aask_as(self._session_id, command, sent, timeout=timeout)


def session_in(args: Args | None) -> str | None:
    """The session that a command's arguments name."""
    session_id = (args or {}).get("session_id")
    return session_id if isinstance(session_id, str) else None
