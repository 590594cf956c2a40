"""Time as mocks see it: real, or one that a test moves, so that nobody sleeps."""

import asyncio
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from and where it is waited for."""

    def now(self) -> float:
        """Seconds since some start."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Wait without holding up the event loop."""
        ...


class RealClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since some start."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait without holding up the event loop."""
        await asyncio.sleep(seconds)


class VirtualClock:
    """A clock that stands still until somebody waits or moves it.

    Args:
        auto: Waiting moves the clock at once. Otherwise whoever waits is held until `advance` has been called with
            enough seconds: to look at a program while its LM is slow.
    """

    def __init__(self, *, auto: bool = True) -> None:
        self._now = 0.0
        self._auto = auto
        self._moved = threading.Condition()
        self._waiting = 0
        self.slept: list[float] = []
        """What was waited for, in order."""

    def now(self) -> float:
        """Seconds since the clock was made."""
        with self._moved:
            return self._now

    @property
    def waiting(self) -> int:
        """How many are held by this clock."""
        with self._moved:
            return self._waiting

    def advance(self, seconds: float) -> None:
        """Move the clock and let go of those whose time has come."""
        with self._moved:
            self._now += seconds
            self._moved.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait by this clock."""
        with self._moved:
            self.slept.append(seconds)
            until = self._now + seconds
            if self._auto:
                self._now = until
                self._moved.notify_all()
                return
            self._waiting += 1
            try:
                self._moved.wait_for(lambda: self._now >= until)
            finally:
                self._waiting -= 1

    async def asleep(self, seconds: float) -> None:
        """Wait by this clock without holding up the event loop."""
        if self._auto:
            self.sleep(seconds)
        else:
            await asyncio.to_thread(self.sleep, seconds)

    def __copy__(self) -> "VirtualClock":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "VirtualClock":
        return self
