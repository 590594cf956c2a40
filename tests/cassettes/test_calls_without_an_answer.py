"""Calls that end early are kept as far as they went, in the order of asking, and a replay does the same."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.lm15 import (
    Message,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TransportError,
    Usage,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex_testkit import cassettes
from dspex_testkit.cassettes import IncompleteRecordingWarning
from dspex_testkit.cassettes.engine import AsyncCassetteEngine
from dspex_testkit.errors import UnfinishedRecordingError
from tests.support.loops import run


class Gates:
    """An engine whose every step waits until a test lets it go on; the answers are numbered as they are asked.

    Args:
        fails: The numbers of calls that break off after their pieces.
    """

    def __init__(self, fails: set[int] | None = None) -> None:
        self.asked = 0
        self.fails = fails or set()
        self.steps: dict[int, asyncio.Semaphore] = {}
        self.pieces: dict[int, int] = {}

    async def complete(self, request: Request) -> Response:
        """One answer."""
        number = self._begin()
        await self.steps[number].acquire()
        if number in self.fails:
            raise TransportError(f"broke off in call {number}")
        return Response(None, "m", Message.assistant(f"answer {number}"), "stop", Usage(1, 1))

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        """One answer in four pieces."""
        number = self._begin()
        yield StreamStartEvent(model="m")
        for piece in ("answer ", str(number), " to", " the end"):
            await self.steps[number].acquire()
            self.pieces[number] = self.pieces.get(number, 0) + 1
            yield StreamDeltaEvent(TextDelta(text=piece))
        await self.steps[number].acquire()
        if number in self.fails:
            raise TransportError(f"broke off in call {number}")
        yield StreamEndEvent(finish_reason="stop", usage=Usage(1, 1))

    async def aclose(self) -> None:
        """Nothing is open."""

    def _begin(self) -> int:
        number = self.asked
        self.asked += 1
        self.steps[number] = asyncio.Semaphore(0)
        return number


def lm_on(gates: Gates) -> Any:
    """The LM of such an engine."""
    return dspy.LM("openai/m", engine=_Sync(), async_engine=gates, cache=False, num_retries=0)


class _Sync:
    def complete(self, request: Request) -> Response:
        """Not asked here."""
        raise NotImplementedError

    def stream(self, request: Request) -> Iterator[Any]:
        """Not asked here."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


def request(question: str) -> Request:
    """A question."""
    return Request(model="openai/m", messages=(Message.user(question),))


async def settle() -> None:
    """Let every task do what it can do now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def follow(engine: Any, question: str, *, streamed: bool, heard: list[str]) -> str:
    """Ask, and tell how it ended; the pieces that came are in `heard`."""
    if not streamed:
        response = await engine.complete(request(question))
        heard.append(response.text)
        return "answered"
    stream = engine.stream(request(question))
    try:
        async for event in stream:
            if event.type == "delta":
                heard.append(event.delta.text)
        return "answered"
    finally:
        await stream.aclose()


Outcome = tuple[str, list[str]]


async def play(engine: Any, script: "Script", gates: Gates | None) -> list[Outcome]:
    """Do what a script says; the outcome of each call in the order of asking.

    The server's steps are those of the recording alone: a replay has no server.
    """
    tasks: list[asyncio.Task[str]] = []
    heard: list[list[str]] = []
    streamed: list[bool] = []
    for step, which in script.steps:
        if step == "ask":
            call = script.calls[len(tasks)]
            heard.append([])
            streamed.append(call[1])
            tasks.append(asyncio.ensure_future(follow(engine, call[0], streamed=call[1], heard=heard[-1])))
        elif step == "go on" and which < len(tasks) and gates is not None and which in gates.steps:
            gates.steps[which].release()
        elif step == "cancel" and which < len(tasks):
            await settle()
            tasks[which].cancel()
        await settle()
    if gates is not None:
        # Whoever asked last is answered first.
        for number in sorted(gates.steps, reverse=True):
            for _ in range(9):
                gates.steps[number].release()
            await settle()
    outcomes: list[Outcome] = []
    for task, pieces in zip(tasks, heard, strict=True):
        try:
            ended = await asyncio.wait_for(task, 60)
        except asyncio.CancelledError:
            ended = "cancelled"
        except Exception as error:
            ended = f"failed: {getattr(error, 'message', error)}"
        outcomes.append((ended, pieces))
    return outcomes


class Script:
    """Calls, with what happens to them, in order.

    Args:
        calls: What each asks, and whether as a stream.
        fails: Which the server breaks off.
        events: What happens between the askings.
    """

    def __init__(self, calls: list[tuple[str, bool]], fails: set[int], events: list[tuple[str, int]]) -> None:
        self.calls = calls
        self.fails = fails
        self.steps = self._with_askings(events)

    def _with_askings(self, events: list[tuple[str, int]]) -> list[tuple[str, int]]:
        left = len(self.calls)
        steps = []
        for event in events:
            if event[0] == "ask":
                if not left:
                    continue
                left -= 1
            steps.append(event)
        return steps + [("ask", 0)] * left

    def __repr__(self) -> str:
        return f"Script({self.calls}, {self.fails}, {self.steps})"


scripts = st.builds(
    Script,
    st.lists(st.tuples(st.sampled_from(["the same", "the same", "another"]), st.booleans()), min_size=1, max_size=5),
    st.sets(st.integers(0, 4), max_size=3),
    st.lists(st.tuples(st.sampled_from(["ask", "go on", "go on", "cancel"]), st.integers(0, 4)), max_size=25),
)


@settings(max_examples=80)
@given(scripts)
def test_the_kth_asked_equal_call_is_answered_as_the_kth_was(
    tmp_path_factory: pytest.TempPathFactory, script: Script
) -> None:
    """For any interleaving of starts, pieces, failures and cancellations of up to five equal or different calls."""
    path = tmp_path_factory.mktemp("calls") / "a.yaml"

    async def record() -> list[Outcome]:
        gates = Gates(script.fails)
        with cassettes.record(lm_on(gates), path) as lm:
            return await play(AsyncCassetteEngine(lm.engine), script, gates)

    recorded = asyncio.run(record())

    async def replay() -> list[Outcome]:
        lm = cassettes.replay(path)
        waiting = [call for call in script.steps if call[0] != "go on"]
        cancelled = [index for index, (ended, _) in enumerate(recorded) if ended == "cancelled"]
        askings = [step for step in waiting if step[0] == "ask"]
        again = Script(script.calls, set(), [*askings, *(("cancel", index) for index in cancelled)])
        return await play(AsyncCassetteEngine(lm.engine), again, None)

    assert asyncio.run(replay()) == recorded


def test_what_a_reader_left_unread_is_not_made_up(path: Path) -> None:
    """The pieces that were read are kept; whoever reads on is told that there is no more."""

    async def read(engine: Any, most: int) -> list[str]:
        heard: list[str] = []
        stream = engine.stream(request("q"))
        async for event in stream:
            if event.type == "delta":
                heard.append(event.delta.text)
                if len(heard) == most:
                    break
        await stream.aclose()
        return heard

    async def record() -> list[str]:
        gates = Gates()
        with cassettes.record(lm_on(gates), path) as lm:
            reading = asyncio.ensure_future(read(AsyncCassetteEngine(lm.engine), 2))
            await settle()
            for _ in range(2):
                gates.steps[0].release()
            return await reading

    assert run(record()) == ["answer ", "0"]
    assert run(read(AsyncCassetteEngine(cassettes.replay(path).engine), 2)) == ["answer ", "0"]
    with pytest.raises(UnfinishedRecordingError, match="read no further after 2 pieces"):
        run(read(AsyncCassetteEngine(cassettes.replay(path).engine), 3))
    with pytest.raises(UnfinishedRecordingError), dspy.context(lm=cassettes.replay(path)):
        cassettes.replay(path).engine.complete(request("q"))


def test_a_server_that_dies_in_the_middle_is_replayed_with_its_pieces(path: Path) -> None:
    """Four pieces and then the failure, in the recording and in the replay."""

    async def read(engine: Any) -> list[str]:
        heard: list[str] = []
        with pytest.raises(TransportError, match="broke off"):
            await follow(engine, "q", streamed=True, heard=heard)
        return heard

    async def record() -> list[str]:
        gates = Gates({0})
        with cassettes.record(lm_on(gates), path) as lm:
            reading = asyncio.ensure_future(read(AsyncCassetteEngine(lm.engine)))
            await settle()
            for _ in range(5):
                gates.steps[0].release()
            return await reading

    recorded = run(record())
    assert recorded == ["answer ", "0", " to", " the end"]
    assert run(read(AsyncCassetteEngine(cassettes.replay(path).engine))) == recorded


def test_a_call_that_has_not_ended_with_the_recording_is_told(path: Path) -> None:
    """What is still being answered is in the warning and in the report, and the rest is kept."""

    async def record() -> None:
        gates = Gates()
        with cassettes.record(lm_on(gates), path) as lm:
            engine = AsyncCassetteEngine(lm.engine)
            slow = asyncio.ensure_future(engine.complete(request("slow")))
            await settle()
            quick = asyncio.ensure_future(engine.complete(request("quick")))
            await settle()
            gates.steps[1].release()
            await quick
        slow.cancel()

    with pytest.warns(IncompleteRecordingWarning, match="'slow': it was still being answered"):
        run(record())
    lm = cassettes.replay(path)
    assert lm.engine.complete(request("quick")).text == "answer 1"
    with pytest.raises(dspy.LMError):
        lm.engine.complete(request("slow"))


def test_half_a_surrogate_pair_is_kept(path: Path, ask: Callable[..., str]) -> None:
    """What is no Unicode, and comes from providers all the same, neither loses the recording nor changes in it."""

    class Half:
        def complete(self, asked: Request) -> Response:
            text = "[[ ## answer ## ]]\nhalf \ud83d of it\n\n[[ ## completed ## ]]"
            return Response(None, asked.model, Message.assistant(text), "stop", Usage(1, 1))

        def stream(self, asked: Request) -> Iterator[Any]:
            raise NotImplementedError

        def close(self) -> None:
            """Nothing is open."""

    lm = dspy.LM("openai/m", engine=Half(), cache=False, num_retries=0)
    with cassettes.record(lm, path) as recorder:
        assert ask(recorder, "half?") == "half \ud83d of it"
    assert ask(cassettes.replay(path), "half?") == "half \ud83d of it"
