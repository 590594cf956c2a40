"""Pings that tell which workers still answer."""

import threading
from collections.abc import Callable

from dspex_testkit.pool.broadcast import ask_each, ask_idle
from dspex_testkit.pool.dialects import Dialect
from dspex_testkit.pool.workers import Workers
from dspex_testkit.protocol import Response

_PING = {"health_check": True}


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
        worker.failed_health_pings += not healthy[worker.worker_id]
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
