"""One command to several workers at once, and the pings that tell which of them still answer."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.pool.client import Args
from dspex_testkit.pool.connection import Pending
from dspex_testkit.pool.dialects import Dialect
from dspex_testkit.pool.workers import Worker, Workers, outcome_of
from dspex_testkit.protocol import Response

_PING = {"health_check": True}

Answers = Mapping[Worker, Response | DSPexTestkitError]
"""What each worker answered, or why it did not."""


def ask_each(
    workers: Iterable[Worker], command: str, args: Args | None, *, timeout: float, health: bool = False
) -> Answers:
    """Send a command to all workers at once, then collect their answers.

    Args:
        workers: Who is asked.
        command: The command.
        args: Its arguments.
        timeout: Seconds that all of them may take together.
        health: Whether workers that run a command are asked beside it, where they take one at a time.
    """
    sent: dict[Worker, Pending | DSPexTestkitError] = {}
    for worker in workers:
        try:
            sent[worker] = worker.process.submit(command, args, health=health)
        except DSPexTestkitError as error:
            sent[worker] = error
    deadline = time.monotonic() + timeout
    return {worker: _answer(worker, pending, deadline) for worker, pending in sent.items()}


def ask_idle(workers: Workers, command: str, args: Args | None, *, timeout: float) -> Answers:
    """Send a command to all idle workers, which are checked out meanwhile, as `ask_each` does."""
    idle = workers.take_idle()
    answers: Answers = {}
    try:
        answers = ask_each(idle, command, args, timeout=timeout)
    finally:
        for worker in idle:
            answer = answers.get(worker)
            workers.give_back(worker, outcome_of(answer if isinstance(answer, Exception) else None))
    return answers


def _answer(worker: Worker, pending: Pending | DSPexTestkitError, deadline: float) -> Response | DSPexTestkitError:
    if isinstance(pending, DSPexTestkitError):
        return pending
    try:
        return worker.process.result(pending, timeout=max(0.0, deadline - time.monotonic()))
    except DSPexTestkitError as error:
        return error


def ping_workers(workers: Workers, dialect: Dialect, *, timeout: float) -> dict[str, bool]:
    """Ping workers, and count what they miss; which of them answered in time, by worker id.

    Workers that take one command at a time are pinged also while they are busy, the others when they are idle.
    """
    if dialect.correlation == "one_at_a_time":
        answers = ask_each(workers.living(), "ping", _PING, timeout=timeout, health=True)
    else:
        answers = ask_idle(workers, "ping", _PING, timeout=timeout)
    healthy = {}
    for worker, answer in answers.items():
        healthy[worker.worker_id] = isinstance(answer, Response) and answer.success
        worker.count(failed_health_pings=not healthy[worker.worker_id])
    return healthy


class Monitor:
    """Does something again and again, in a thread of its own.

    Args:
        check: What it does.
        interval: Seconds between two times.
    """

    def __init__(self, check: Callable[[], object], interval: float) -> None:
        self._check = check
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bridge-pool health", daemon=True)

    def start(self) -> None:
        """Begin, unless it has begun."""
        if not self._thread.ident:
            self._thread.start()

    def stop(self) -> None:
        """Do it no more, and wait for the last time to end."""
        self._stopped.set()
        if self._thread.ident:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self._check()
