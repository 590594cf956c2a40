"""The engine pair of a cassette's LM: from the recording where there is one, else from the LM behind it.

Keeps the contract of `dspy.clients.engines.base`. A recording answers sync, async and streamed requests alike: one
that was not streamed is streamed word by word, one that was streamed is streamed as it came.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from dspy.lm15 import Request, Response

from dspex_testkit.calls import Journal, LMCall
from dspex_testkit.cassettes import ask_live
from dspex_testkit.cassettes.cassette_call import CassetteCall
from dspex_testkit.cassettes.document import RecordedLM
from dspex_testkit.cassettes.interfaces import CassetteInUse
from dspex_testkit.engines.engine_lm import SharedEngine


class CassetteEngine(SharedEngine):
    """Answers from a cassette.

    Args:
        source: Gives the cassette for this call; a bridge has one per session.
        lm: The LM behind it; None to replay only.
        identity: The model that callers see, with what it can do.
        journal: Where calls go that no bridge asked for.
        journaled_elsewhere: The LM behind writes its own calls down.
        template: What the journal says of every call; by default the model's own provider and name.
    """

    def __init__(
        self,
        source: Callable[[], CassetteInUse],
        lm: Any,
        identity: RecordedLM,
        journal: Journal,
        *,
        journaled_elsewhere: bool = False,
        template: LMCall | None = None,
    ) -> None:
        self.source = source
        self.lm = lm
        self.identity = identity
        self.journal = journal
        self.journaled_elsewhere = journaled_elsewhere
        provider, _, model = identity.model.partition("/")
        self.template = template or LMCall(provider=provider, model=model or provider)

    @property
    def abilities(self) -> RecordedLM:
        """What the LM can do: as it was recorded, where only the recording answers."""
        recorded = None if self.lm is not None else self.source().recorded_lm(self.identity.model)
        return recorded or self.identity

    @property
    def supports_function_calling(self) -> bool:
        """Read by DSPy's adapters."""
        return self.abilities.function_calling

    @property
    def supports_response_schema(self) -> bool:
        """Read by DSPy's adapters."""
        return self.abilities.response_schema

    @property
    def supports_reasoning(self) -> bool:
        """Read by DSPy's adapters."""
        return self.abilities.reasoning

    @property
    def supported_params(self) -> frozenset[str]:
        """Read by DSPy's adapters."""
        return frozenset(self.abilities.supported_params)

    def complete(self, request: Request) -> Response:
        """Answer at once."""
        call = CassetteCall(self, request)
        if call.found is not None:
            return call.replay()
        with call.asking():
            response = ask_live.ask(self.lm, request)
        return call.answered(response)

    def stream(self, request: Request) -> Iterator[Any]:
        """Answer piece by piece."""
        call = CassetteCall(self, request)
        if call.found is not None:
            for pause, event in call.events():
                if pause:
                    time.sleep(pause)
                yield event
            return
        events: list[tuple[float, Any]] = []
        with call.asking():
            for event in ask_live.stream(self.lm, request):
                events.append((call.elapsed_ms, event))
                if event.type != "end":
                    yield event
            response = call.assembled(events)
        yield call.streamed(response, events)

    def close(self) -> None:
        """Nothing is held open; the LM behind belongs to whoever made it."""


class AsyncCassetteEngine(SharedEngine):
    """The same for `acall`."""

    def __init__(self, engine: CassetteEngine) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        """Answer at once."""
        call = CassetteCall(self._engine, request)
        if call.found is not None:
            return call.replay()
        with call.asking():
            response = await ask_live.ask_async(self._engine.lm, request)
        return call.answered(response)

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        """Answer piece by piece."""
        call = CassetteCall(self._engine, request)
        if call.found is not None:
            for pause, event in call.events():
                if pause:
                    await asyncio.sleep(pause)
                yield event
            return
        events: list[tuple[float, Any]] = []
        with call.asking():
            async for event in ask_live.stream_async(self._engine.lm, request):
                events.append((call.elapsed_ms, event))
                if event.type != "end":
                    yield event
            response = call.assembled(events)
        yield call.streamed(response, events)

    async def aclose(self) -> None:
        """Nothing is held open."""
