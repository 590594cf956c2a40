"""Canary: DSPy waits between retries by the two modules that are exchanged."""

import asyncio
from typing import Any

import dspy
import pytest
from dspy import lm15

from dspex_testkit.dspy_internals.retries import retries_on


class Pauses:
    """A clock that passes at once and keeps what was waited."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Keep it."""
        self.taken.append(seconds)

    async def asleep(self, seconds: float) -> None:
        """Keep it."""
        self.taken.append(seconds)


class Down:
    """An engine that never answers."""

    def complete(self, request: Any) -> Any:
        """Fail as a server does that is down."""
        raise lm15.ServerError("down", status=503)


class AsyncDown:
    """The same for `acall`."""

    async def complete(self, request: Any) -> Any:
        """Fail as a server does that is down."""
        raise lm15.ServerError("down", status=503)


def test_every_wait_of_dspy_goes_by_the_given_clock() -> None:
    """Sync and async: three pauses each, which grow, and no real one."""
    lm = dspy.LM("openai/m", engine=Down(), async_engine=AsyncDown(), num_retries=3, cache=False)
    sync, awaited = Pauses(), Pauses()

    with retries_on(sync), pytest.raises(dspy.LMServerError):
        lm("?")
    with retries_on(awaited), pytest.raises(dspy.LMServerError):
        asyncio.run(lm.acall("?"))

    assert len(sync.taken) == len(awaited.taken) == 3
    assert sync.taken == sorted(sync.taken)
