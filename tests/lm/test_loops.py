"""Event loops that are lent out: deadlines, stuck work, many at once."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dspex_testkit.errors import OverloadedError
from dspex_testkit.lm.loops import DeadlineError, Loops
from tests.support.waiting import eventually

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


@pytest.fixture
def loops() -> Iterator[Loops]:
    """Loops of which one piece of work may be stuck."""
    made = Loops(most_stuck=1)
    yield made
    made.close()


def test_work_runs_in_the_context_of_whoever_waits(loops: Loops) -> None:
    """What DSPy's settings say there, they say on the loop."""

    async def work() -> str:
        return VARIABLE.get()

    token = VARIABLE.set("mine")
    try:
        assert loops.run(work) == "mine"
    finally:
        VARIABLE.reset(token)


def test_a_failure_is_the_caller_s(loops: Loops) -> None:
    """Also where it is a time limit of the work's own."""

    async def work() -> None:
        raise TimeoutError("my own")

    with pytest.raises(TimeoutError, match="my own"):
        loops.run(work, timeout=60)


def test_more_at_once_than_are_kept_leave_the_helpers_to_the_others(loops: Loops) -> None:
    """A loop that closes takes nothing from those that go on."""
    everybody = threading.Barrier(100)

    async def work() -> int:
        return await asyncio.to_thread(int, "7")

    def meet(_: int) -> int:
        everybody.wait(60)
        answer: int = loops.run(work, timeout=60)
        return answer

    with ThreadPoolExecutor(100) as threads:
        for _ in range(3):
            assert list(threads.map(meet, range(100))) == [7] * 100
    assert loops.run(work) == 7


def test_cancelled_work_has_ended_when_the_caller_hears_of_it(loops: Loops) -> None:
    """It may tidy up first."""
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("tidy")

    with pytest.raises(DeadlineError) as late:
        loops.run(work, timeout=0.01)
    assert (late.value.stopped, ended, loops.stuck) == (True, ["tidy"], 0)


def test_stuck_work_is_counted_until_it_ends(loops: Loops) -> None:
    """Meanwhile nothing more is begun."""
    gate = threading.Event()

    async def blocking() -> Any:
        return gate.wait(60)

    async def nothing() -> None:
        return None

    with pytest.raises(DeadlineError) as late:
        loops.run(blocking, timeout=0.01)
    assert (late.value.stopped, loops.stuck) == (False, 1)
    with pytest.raises(OverloadedError):
        loops.run(nothing)
    gate.set()
    eventually(lambda: loops.stuck == 0)
    loops.run(nothing)


def test_everything_can_be_cancelled_at_once(loops: Loops) -> None:
    """As when the client goes away."""
    begun = threading.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(loops.run, work)
        assert begun.wait(60)
        loops.cancel_all()
        assert running.exception(60) is not None
