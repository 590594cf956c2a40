"""The engine pair of a cassette's LM: from the recording where there is one, else from the LM behind it.

Keeps the contract of `dspy.clients.engines.base`. A recording answers sync, async and streamed requests alike: one
that was not streamed is streamed word by word, one that was streamed is streamed as it came.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from typing import Any

from dspy.lm15 import LM15Error, Request, Response, materialize_response

from dspex_testkit.calls import Journal, LMCall, Usage
from dspex_testkit.cassettes import asking
from dspex_testkit.cassettes.answered import Answered
from dspex_testkit.cassettes.document import RecordedLM
from dspex_testkit.cassettes.dspy_wire import (
    cost_of,
    event_record,
    request_to_dict,
    response_record,
    stream_event_from_dict,
)
from dspex_testkit.cassettes.errors_wire import error_from_dict, error_to_dict
from dspex_testkit.cassettes.in_use import CassetteInUse
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.errors import CassetteError, CassetteFormatError
from dspex_testkit.mock_lm.answering import caller_now
from dspex_testkit.mock_lm.capture import current_call
from dspex_testkit.mock_lm.engine_lm import SharedEngine
from dspex_testkit.mock_lm.failures import as_lm_error
from dspex_testkit.mock_lm.prompts import prompt_for
from dspex_testkit.mock_lm.responses import inputs_of, text_of
from dspex_testkit.mock_lm.streaming import stream_events

_NO_USAGE = Usage()


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
        call = _Call(self, request)
        if call.found is not None:
            return call.replay()
        caller_now().admit()
        try:
            response = asking.ask(self.lm, request)
        except LM15Error as error:
            call.failed(error)
            raise
        except BaseException as error:
            call.abandoned(error)
            raise
        return call.answered(response)

    def stream(self, request: Request) -> Iterator[Any]:
        """Answer piece by piece."""
        call = _Call(self, request)
        if call.found is not None:
            for pause, event in call.events():
                if pause:
                    time.sleep(pause)
                yield event
            return
        caller_now().admit()
        events: list[tuple[float, Any]] = []
        try:
            for event in asking.stream(self.lm, request):
                events.append((call.elapsed_ms, event))
                if event.type != "end":
                    yield event
        except LM15Error as error:
            call.failed(error)
            raise
        except BaseException as error:
            call.abandoned(error)
            raise
        yield call.streamed(events)

    def close(self) -> None:
        """Nothing is held open; the LM behind belongs to whoever made it."""


class AsyncCassetteEngine(SharedEngine):
    """The same for `acall`."""

    def __init__(self, engine: CassetteEngine) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        """Answer at once."""
        call = _Call(self._engine, request)
        if call.found is not None:
            return call.replay()
        caller_now().admit()
        try:
            response = await asking.ask_async(self._engine.lm, request)
        except LM15Error as error:
            call.failed(error)
            raise
        except BaseException as error:
            call.abandoned(error)
            raise
        return call.answered(response)

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        """Answer piece by piece."""
        call = _Call(self._engine, request)
        if call.found is not None:
            for pause, event in call.events():
                if pause:
                    await asyncio.sleep(pause)
                yield event
            return
        caller_now().admit()
        events: list[tuple[float, Any]] = []
        try:
            async for event in asking.stream_async(self._engine.lm, request):
                events.append((call.elapsed_ms, event))
                if event.type != "end":
                    yield event
        except LM15Error as error:
            call.failed(error)
            raise
        except BaseException as error:
            call.abandoned(error)
            raise
        yield call.streamed(events)

    async def aclose(self) -> None:
        """Nothing is held open."""


class _Call:
    """One request on its way through the cassette and into the journal."""

    __slots__ = ("_engine", "_request", "_started", "asked", "cassette", "found")

    def __init__(self, engine: CassetteEngine, request: Request) -> None:
        self._engine = engine
        self._request = request
        self._started = time.perf_counter()
        self.asked = request_to_dict(request)
        try:
            self.cassette = engine.source()
            self.found = self.cassette.find(self.asked)
            if self.found is None and engine.lm is None:
                raise CassetteError(
                    f"{self.cassette.path} is opened to record ({self.cassette.mode}), and there is no LM behind it; "
                    "give it one: cassettes.record(lm, path)"
                )
        except CassetteError as error:
            self._journal(error=error.message.splitlines()[0])
            raise as_lm_error(error, model=request.model) from None

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request came."""
        return (time.perf_counter() - self._started) * 1000

    def replay(self) -> Response:
        """The recorded answer.

        Raises:
            LM15Error: The recorded failure.
        """
        found, answered = self._recorded()
        self._journal(found=found, answered=answered)
        return answered.response

    def events(self) -> Iterator[tuple[float, Any]]:
        """The recorded answer as events, each with the seconds to wait before it.

        Raises:
            LM15Error: The recorded failure.
        """
        found, answered = self._recorded()
        count = 0
        if found.chunks is None:
            paced: Iterator[tuple[float, Any]] = ((0.0, event) for event in stream_events(answered.response))
        else:
            paced = self._paced(found.chunks)
        for pause, event in paced:
            count += event.type == "delta"
            yield pause, event
        self._journal(found=found, answered=answered, chunks=count)

    def answered(self, response: Response) -> Response:
        """Keep a live answer, and hand it on."""
        self._keep(response, chunks=None)
        return response

    def streamed(self, events: list[tuple[float, Any]]) -> Any:
        """Keep a live stream; returns its last event, which was held back so that nothing is kept of a cut one."""
        response = materialize_response(iter([event for _, event in events]), self._request)
        self._keep(response, chunks=events)
        return events[-1][1]

    def failed(self, error: LM15Error) -> None:
        """Keep a failure of the provider."""
        self._put(Interaction(self.asked, error=error_to_dict(error)))
        if not self._engine.journaled_elsewhere:
            self._journal(error=error.message.splitlines()[0] if error.message else type(error).__name__, live=True)

    def abandoned(self, reason: BaseException) -> None:
        """Write down that there is no answer, and nothing to keep: nobody waits any more, or our side has failed."""
        name = type(reason).__name__
        error = f"{name}: {reason}" if isinstance(reason, Exception) else f"abandoned: {name}"
        if not self._engine.journaled_elsewhere:
            self._journal(error=error, live=True)

    def _keep(self, response: Response, chunks: list[tuple[float, Any]] | None) -> None:
        cost = cost_of(str(self._engine.lm.model), self._request, response)
        pieces = None
        if chunks is not None:
            pieces = tuple({"at_ms": round(at, 1), "event": event_record(event)} for at, event in chunks)
        self._put(Interaction(self.asked, response=response_record(response), chunks=pieces, cost=cost))
        if not self._engine.journaled_elsewhere:
            count = None if chunks is None else sum(event.type == "delta" for _, event in chunks)
            self._journal(answered=Answered(response), chunks=count, cost=cost, live=True)

    def _put(self, interaction: Interaction) -> None:
        model = str(self._engine.lm.model)
        now = self.cassette.now().astimezone(UTC)
        interaction = replace(
            interaction,
            recorded_at=now.isoformat(timespec="seconds"),
            elapsed_ms=round(self.elapsed_ms, 1),
            live_model=model if model != interaction.model else None,
        )
        try:
            self.cassette.introduce(self._engine.identity)
            self.cassette.keep(interaction)
        except CassetteError as error:
            raise as_lm_error(error, model=self._request.model) from None

    def _recorded(self) -> tuple[Interaction, Answered]:
        found = self.found
        assert found is not None
        if found.error is not None:
            self._journal(error=str(found.error.get("message") or found.error.get("code")).splitlines()[0])
            raise error_from_dict(found.error)
        known = self.cassette.decoded
        answered: Answered | None = known.get(id(found))
        if answered is None:
            with self._readable():
                answered = known[id(found)] = Answered.from_record(found.response or {})
        return found, answered

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Say that a recording was edited into nonsense, where DSPy cannot make anything of it."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            unread = CassetteFormatError(
                f"{self.cassette.path} has a recording that answers this request and cannot be read: {error}; "
                "bring it back from version control, or record it again",
                details={"path": str(self.cassette.path)},
            )
            self._journal(error=unread.message)
            raise as_lm_error(unread, model=self._request.model) from error

    def _paced(self, chunks: tuple[dict[str, Any], ...]) -> Iterator[tuple[float, Any]]:
        before = 0.0
        for chunk in chunks:
            at = float(chunk.get("at_ms") or 0.0)
            pause = max(0.0, at - before) / 1000 if self.cassette.realtime else 0.0
            before = at
            with self._readable():
                event = stream_event_from_dict(chunk["event"])
            yield pause, event

    def _journal(
        self,
        *,
        found: Interaction | None = None,
        answered: Answered | None = None,
        chunks: int | None = None,
        cost: Decimal | None = None,
        error: str | None = None,
        live: bool = False,
    ) -> None:
        caller = caller_now()
        capture = current_call().capture
        journal = caller.journal if caller.journal is not None else self._engine.journal
        template = self._engine.template
        response = None if answered is None else answered.response
        journal.record(
            # Written out, where `Caller.sign` would copy it once more.
            LMCall(
                provider=template.provider,
                model=template.model,
                scope=caller.scope,
                mocked=not live,
                engine="record" if live else "replay",
                program_id=caller.program_id,
                session_id=caller.session_id,
                worker_id=caller.worker_id,
                lm_id=caller.lm_id,
                signature=None if capture is None else capture.full_signature.__name__,
                inputs=inputs_of(capture, self._request),
                outputs=None if answered is None else answered.outputs(capture),
                prompt=prompt_for(journal, template.provider_model, self._request, capture),
                completion=None if response is None else text_of(response),
                parts=() if answered is None else answered.parts,
                finish_reason=None if response is None else response.finish_reason,
                usage=_NO_USAGE if answered is None else answered.usage(template),
                cost=cost if found is None else found.cost,
                latency_ms=self.elapsed_ms,
                rule=None if live or found is None else f"cassette:{self.cassette.name}",
                error=error,
                stream_chunks=chunks,
                time=time.time(),
            )
        )
