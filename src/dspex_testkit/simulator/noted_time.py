"""`NotingClock`: engines that wait on it go on at once, and what they would have waited is known afterwards.

An engine says when its words are due by waiting before each. Over HTTP they cannot go out one by one as the engine
says them: a provider's frames need to know the whole answer. So the engine runs ahead, and its pauses are made on the
wire.
"""

from contextvars import ContextVar

from dspex_testkit.mock_lm.clock import Clock


class Waits:
    """What one request would have waited so far, in seconds."""

    __slots__ = ("_owed", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self._owed = 0.0

    def add(self, seconds: float) -> None:
        """Note a wait."""
        self.total += seconds
        self._owed += seconds

    def take(self) -> float:
        """What was noted since the last time."""
        owed, self._owed = self._owed, 0.0
        return owed


_waits: ContextVar[Waits | None] = ContextVar("dspex_testkit_noted_waits", default=None)


def note_waits() -> Waits:
    """Note the waits of this task from now on."""
    waits = Waits()
    _waits.set(waits)
    return waits


class NotingClock:
    """A clock that runs ahead of the real one by what is noted for the present task.

    Args:
        clock: The real one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        """Seconds since some start."""
        waits = _waits.get()
        return self._clock.now() + (0.0 if waits is None else waits.total)

    def sleep(self, seconds: float) -> None:
        """Note the wait instead of waiting; outside of a noting context, wait."""
        waits = _waits.get()
        if waits is None:
            self._clock.sleep(seconds)
        else:
            waits.add(seconds)

    async def asleep(self, seconds: float) -> None:
        """The same without holding up the event loop."""
        waits = _waits.get()
        if waits is None:
            await self._clock.asleep(seconds)
        else:
            waits.add(seconds)
