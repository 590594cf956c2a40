"""DSPy's own waiting between retries, by a clock of ours.

DSPy sleeps with `time.sleep` and `asyncio.sleep` in one module, and offers no way to change that. This is the one
place that puts something in their stead; `tests/dspy_internals/test_retries.py` fails loudly when DSPy waits
elsewhere.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from dspy.clients import execution


class Waiter(Protocol):
    """Waits for a number of seconds, in either colour."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Wait without holding up the event loop."""
        ...


class _Instead:
    """A module with another `sleep`."""

    def __init__(self, module: Any, sleep: Any) -> None:
        self._module = module
        self.sleep = sleep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextmanager
def retries_on(clock: Waiter) -> Iterator[None]:
    """Let DSPy wait by a clock, for the whole process, while this is entered."""
    kept = execution.time, execution.asyncio
    execution.time = _Instead(time, clock.sleep)
    execution.asyncio = _Instead(asyncio, clock.asleep)
    try:
        yield
    finally:
        execution.time, execution.asyncio = kept
