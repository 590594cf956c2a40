"""Threads for executions, started as they are needed.

`concurrent.futures` would make a future for each piece of work, which nobody here waits for, and join its threads at
exit, which nobody has time for.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[], None]


class ExecutionThreads:
    """Runs work on a limited number of daemon threads.

    Args:
        limit: Pieces of work that run at the same time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: SimpleQueue[Work] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def submit(self, work: Work) -> None:
        """Have work done, at once where a thread is free or may be started.

        Args:
            work: Deals with its own failures.
        """
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._run, name=f"execution-{self._threads}", daemon=True).start()
        self._queue.put(work)

    def _run(self) -> None:
        while True:
            self._queue.get()()
            with self._lock:
                self._idle += 1
