"""Event loops on threads of their own, lent out one piece of work at a time.

Asynchronous work that is to have a deadline, or parts that run side by side, needs a loop that nothing else can hold
up. A loop that is kept keeps the connection pools which DSPy opens per loop.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from dspex_testkit.errors import OverloadedError

Work = Callable[[], Coroutine[Any, Any, Any]]

_MOST_IDLE = 64
_HELPERS = 32
_GRACE = 0.5
"""Seconds in which cancelled work may come to its end."""


class DeadlineError(Exception):
    """The work did not end in time.

    Args:
        stopped: Whether it was cancelled; False where it goes on because it is waiting for something synchronous.
    """

    def __init__(self, *, stopped: bool) -> None:
        super().__init__("stopped" if stopped else "could not be stopped")
        self.stopped = stopped


class _Helpers(ThreadPoolExecutor):
    """Threads that all loops share; a loop that closes would otherwise shut them down for the others."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: a loop has no say in it."""

    def end(self) -> None:
        """Take no more work."""
        super().shutdown(wait=False, cancel_futures=True)


class _LoopThread:
    """One loop, on one thread."""

    def __init__(self, helpers: _Helpers) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(helpers)
        threading.Thread(target=self._run, name="loop", daemon=True).start()

    def begin(self, running: "_Running", work: Work) -> None:
        self.loop.call_soon_threadsafe(running.begin, work, context=contextvars.copy_context())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()


class _Running:
    """One piece of work on a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ended: Future[Any] = Future()
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    def begin(self, work: Work) -> None:
        self._task = self._loop.create_task(work())
        self._task.add_done_callback(self._end)
        if self._cancelled:
            self._task.cancel()

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: "asyncio.Task[Any]") -> None:
        if task.cancelled():
            self.ended.set_exception(CancelledError())
        elif (error := task.exception()) is not None:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(task.result())


class Loops:
    """Loops to lend.

    Args:
        most_stuck: Pieces of work that could not be stopped and may go on; beyond that, no more are begun.
    """

    def __init__(self, *, most_stuck: int = 64) -> None:
        self._helpers = _Helpers(_HELPERS, thread_name_prefix="loop-helper")
        self._idle: list[_LoopThread] = []
        self._lock = threading.Lock()
        self._most_stuck = most_stuck
        self._running: set[_Running] = set()
        self.stuck = 0
        """Pieces of work that go on although nobody waits for them any more."""

    def check(self) -> None:
        """Refuse more work while too much of it goes on unasked.

        Raises:
            OverloadedError: It does.
        """
        if self.stuck >= self._most_stuck:
            raise OverloadedError(
                f"{self.stuck} executions went past their deadline and could not be stopped, because they wait for "
                "something synchronous; no more are begun until one of them ends",
                details={"unstoppable": self.stuck, "limit": self._most_stuck},
            )

    def run(self, work: Work, *, timeout: float | None = None) -> Any:
        """Run a coroutine on a loop of its own, in this thread's context, and wait for it.

        Raises:
            DeadlineError: It did not end within `timeout` seconds.
            OverloadedError: Too much work goes on that could not be stopped.
        """
        self.check()
        loop = self._borrow()
        running = _Running(loop.loop)
        # Known before it begins, so that whoever cancels everything misses nothing that has begun.
        with self._lock:
            self._running.add(running)
        loop.begin(running, work)
        try:
            return running.ended.result(timeout)
        except FutureTimeoutError:
            if running.ended.done():
                raise  # the work's own
            running.cancel()
            return self._await_end(running)
        finally:
            running.ended.add_done_callback(lambda _: self._give_back(loop, running))

    def cancel_all(self) -> None:
        """Cancel whatever is running."""
        with self._lock:
            running = list(self._running)
        for one in running:
            one.cancel()

    def close(self) -> None:
        """Cancel what is running and end the loops that are idle."""
        self.cancel_all()
        with self._lock:
            idle, self._idle = self._idle, []
        for loop in idle:
            loop.stop()
        self._helpers.end()

    def _await_end(self, running: _Running) -> Any:
        try:
            return running.ended.result(_GRACE)
        except CancelledError:
            raise DeadlineError(stopped=True) from None
        except FutureTimeoutError:
            if running.ended.done():
                raise
        with self._lock:
            self.stuck += 1
        running.ended.add_done_callback(self._unstick)
        raise DeadlineError(stopped=False)

    def _unstick(self, ended: "Future[Any]") -> None:
        with self._lock:
            self.stuck -= 1

    def _borrow(self) -> _LoopThread:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _LoopThread(self._helpers)

    def _give_back(self, loop: _LoopThread, running: _Running) -> None:
        with self._lock:
            self._running.discard(running)
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(loop)
                return
        loop.stop()
