"""A pool of workers, as DSPex runs one."""

import asyncio
import secrets
import threading
import time
from itertools import count
from types import TracebackType
from typing import Self

from dspex_testkit.errors import UsageError, WorkerBusyError
from dspex_testkit.pool.affinity import Affinity, AnyWorker
from dspex_testkit.pool.bridge_process import BridgeProcess
from dspex_testkit.pool.client import Args, BridgeClient, result_of
from dspex_testkit.pool.crew import Crew, OnEnd, wait_for_all
from dspex_testkit.pool.dialects import V2, Dialect
from dspex_testkit.pool.launch import Launch
from dspex_testkit.pool.lease import Checkout
from dspex_testkit.pool.leaving import Ending
from dspex_testkit.pool.outcomes import outcome_of
from dspex_testkit.pool.rounds import Answers, ask_each
from dspex_testkit.pool.sessions import ANONYMOUS, SessionStore
from dspex_testkit.pool.starting import Starter
from dspex_testkit.pool.status import PoolStatus
from dspex_testkit.protocol import Response

_POOL = "DSPEX_TESTKIT_POOL"

HEALTH_TIMEOUT = 5.0
"""Seconds that a monitor's ping may take."""


class BridgePool(BridgeClient):
    """Workers that serve any caller, in threads or in an event loop.

    A command asked of the pool goes to the worker that has been idle longest, or as the affinity wants it; a
    ``session_id`` among its arguments says whose it is. `session` and `anonymous` add what DSPex adds. `checkout` gives
    a worker for several commands in a row.

    Use it as a context manager, or call `start` and `stop` (`astart` and `astop` in an event loop).

    Args:
        size: How many workers there may be.
        launch: How their processes are started.
        dialect: Which of DSPex's pools to behave like: `V1`, `V2` or `V3`.
        eager: Whether all workers start with the pool; the dialect's way if None.
        affinity: Which worker a session would like; any by default.
        sessions: What is remembered of sessions; a store may be shared by pools.
        starter: Starts processes; by default as new processes of the operating system.
        timeout: Seconds that a command may take; the dialect's if None.
        checkout_timeout: Seconds to wait for a worker; the dialect's if None.
        failure_limit: Failures in a row after which a worker is removed; the dialect's if None.
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
        starter: Starter | None = None,
        timeout: float | None = None,
        checkout_timeout: float | None = None,
        failure_limit: int | None = None,
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
        self.timeout = dialect.call_timeout if timeout is None else timeout
        self.checkout_timeout = dialect.checkout_timeout if checkout_timeout is None else checkout_timeout
        self.endings: list[Ending] = []
        """How the workers ended that were there when the pool was stopped."""
        self._launch = _named(launch or Launch())
        self._starter = starter
        self._ids = count(1)
        self._opened = time.monotonic()
        self._crew = Crew(
            size,
            self._make_worker,
            affinity or AnyWorker(),
            serial=dialect.serial_start,
            eager=dialect.eager,
            failure_limit=dialect.failure_limit if failure_limit is None else failure_limit,
            swallow_checkins=swallow_checkins,
        )
        self._stopped = threading.Event()
        self._health_interval = health_interval
        self._monitor: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await self.astart()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.astop()

    def start(self) -> Self:
        """Open the pool; an eager one has all its workers afterwards, a lazy one none.

        Raises:
            PoolError: A worker did not start. Nothing is left behind.
        """
        if self._health_interval is not None and self._monitor is None:
            self._monitor = threading.Thread(target=self._watch, name="bridge-pool health", daemon=True)
            self._monitor.start()
        if self.eager:
            try:
                self.warm_up()
            except BaseException:
                self.stop()
                raise
        return self

    async def astart(self) -> Self:
        """`start` for an event loop."""
        return await asyncio.to_thread(self.start)

    def warm_up(self) -> None:
        """Start the workers that are missing, and wait until they are there.

        Raises:
            PoolError: A worker did not start.
        """
        wait_for_all(self._crew.fill())

    def stop(self) -> None:
        """End all workers and wait for it; `endings` then says how each went. Safe to call again."""
        self._stopped.set()
        self.endings += self._crew.stop()
        if self._monitor is not None:
            self._monitor.join()

    async def astop(self) -> None:
        """`stop` for an event loop."""
        await asyncio.to_thread(self.stop)

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
        patience = self.checkout_timeout if timeout is None else timeout
        asked_by = None if session_id == ANONYMOUS else session_id
        return Checkout(self._crew, asked_by, patience=patience, timeout=self.timeout)

    def ask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """The answer of one worker to one command.

        Raises:
            PoolError: As of `checkout` and of `BridgeProcess.ask`.
        """
        return self.ask_as(_session_in(args), command, args, timeout=timeout)

    async def aask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """`ask` for an event loop."""
        return await self.aask_as(_session_in(args), command, args, timeout=timeout)

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
        return _Caller(self, session_id, sent_id=session_id)

    def anonymous(self) -> BridgeClient:
        """What DSPex's `execute_anonymous` does: programs are remembered for every caller without a session."""
        return _Caller(self, None, sent_id=self.dialect.anonymous_session)

    def status(self) -> PoolStatus:
        """How the pool is."""
        workers, starting, waiting = self._crew.status()
        return PoolStatus(
            size=self._crew.size,
            workers=workers,
            starting=starting,
            waiting=waiting,
            started=self._crew.started,
            removed=self._crew.removed,
            sessions=self.sessions.sessions(),
            uptime=time.monotonic() - self._opened,
        )

    def processes(self) -> dict[str, BridgeProcess]:
        """The processes of the workers that live, by worker id; for faults and for a look inside."""
        return {worker.worker_id: worker.process for worker in self._crew.living()}

    def check_health(self, *, timeout: float = HEALTH_TIMEOUT) -> dict[str, bool]:
        """Ping workers; which of them answered in time.

        Workers of V3 are pinged also while they are busy, those of the other pools when they are idle.
        """
        ping = {"health_check": True}
        if self.dialect.correlation == "one_at_a_time":
            answers = ask_each(self._crew.living(), "ping", ping, timeout=timeout, health=True)
        else:
            answers = self._ask_idle("ping", ping, timeout)
        healthy = {}
        for worker, answer in answers.items():
            healthy[worker.worker_id] = isinstance(answer, Response) and answer.success
            worker.failed_health_pings += not healthy[worker.worker_id]
        return healthy

    def broadcast(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> dict[str, Response]:
        """The answers of all workers that are idle, by worker id; they are asked at the same time.

        Raises:
            PoolError: A worker did not answer. All of them were asked all the same.
        """
        answers = self._ask_idle(command, args, self.timeout if timeout is None else timeout)
        for answer in answers.values():
            if not isinstance(answer, Response):
                raise answer
        return {worker.worker_id: answer for worker, answer in answers.items() if isinstance(answer, Response)}

    def reset(self) -> None:
        """Forget all that clients left behind, in the workers and in the pool, so that it can serve the next test.

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

    def _ask_idle(self, command: str, args: Args | None, timeout: float) -> Answers:
        idle = self._crew.take_idle()
        answers: Answers = {}
        try:
            answers = ask_each(idle, command, args, timeout=timeout)
        finally:
            for worker in idle:
                answer = answers.get(worker)
                self._crew.give_back(worker, outcome_of(answer if isinstance(answer, Exception) else None))
        return answers

    def _watch(self) -> None:
        assert self._health_interval is not None
        while not self._stopped.wait(self._health_interval):
            self.check_health()

    def _make_worker(self, on_end: OnEnd) -> BridgeProcess:
        return BridgeProcess(
            self._launch,
            dialect=self.dialect,
            starter=self._starter,
            ids=self._ids,
            timeout=self.timeout,
            on_end=on_end,
        )


def _named(launch: Launch) -> Launch:
    """The launch with a name of the pool's own, so that a warm host keeps its state apart from other pools'."""
    # A name from outside makes several pools share one state on purpose.
    return launch if _POOL in launch.environment() else launch.with_env(**{_POOL: f"pool-{secrets.token_hex(4)}"})


class _Caller(BridgeClient):
    """Asks a pool on behalf of one session, or of none."""

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


def _session_in(args: Args | None) -> str | None:
    session_id = (args or {}).get("session_id")
    return session_id if isinstance(session_id, str) else None
