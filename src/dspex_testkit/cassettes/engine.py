"""The engine pair of a cassette's LM: from the recording where there is one, else from the LM behind it.

Keeps the contract of `dspy.clients.engines.base`. A recording answers sync, async and streamed requests alike: one
that was not streamed is streamed word by word, one that was streamed is streamed as it came.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

from dspy.lm15 import LM15Error, Request, Response, materialize_response

from dspex_testkit.calls import Journal, LMCall
from dspex_testkit.cassettes import ask_live
from dspex_testkit.cassettes.answered import Answered
from dspex_testkit.cassettes.document import RecordedLM
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.interfaces import CassetteInUse
from dspex_testkit.cassettes.playing import paced, readable, unfinished
from dspex_testkit.dspy_internals.call_stack import current_call
from dspex_testkit.dspy_internals.model_list import cost_of
from dspex_testkit.dspy_internals.wire import (
    error_from_dict,
    error_to_dict,
    event_record,
    request_to_dict,
    response_record,
)
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.engines.engine_lm import SharedEngine
from dspex_testkit.engines.entry import Entry, Outcome
from dspex_testkit.engines.lm_errors import as_lm_error
from dspex_testkit.engines.responses import text_of
from dspex_testkit.engines.stream_events import stream_events
from dspex_testkit.errors import CassetteError, CassetteFormatError

logger = logging.getLogger(__name__)

_ENDS = {asyncio.CancelledError: "cancelled", GeneratorExit: "closed"}
"""How a call ends before its answer has, other than by a failure."""


class CassetteCall:
    """One request to the LM of a cassette.

    Args:
        engine: Whose it is.
        request: What is asked.

    Raises:
        LM15Error: There is no recording that answers, and no LM to ask.
    """

    __slots__ = ("_engine", "_entry", "_order", "_pieces", "_request", "asked", "cassette", "found")

    def __init__(self, engine: "CassetteEngine", request: Request) -> None:
        self._engine = engine
        self._request = request
        self._entry = Entry(engine.template, request, current_call().capture, caller_now(), engine.journal)
        self._pieces: list[tuple[float, Any]] | None = None
        self.asked = request_to_dict(request)
        try:
            self.cassette = engine.source()
            taken = self.cassette.take(self.asked)
            self.found, self._order = taken.interaction, taken.order
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
        return self._entry.elapsed_ms

    def replay(self) -> Response:
        """The recorded answer.

        Raises:
            LM15Error: The recorded failure.
            UnfinishedRecordingError: The recorded call got no answer.
        """
        found = self._found()
        answered = self._answered(found)
        self._journal(found=found, answered=answered)
        return answered.response

    def events(self) -> Iterator[tuple[float, Any]]:
        """The recorded answer as events, each with the seconds to wait before it.

        Raises:
            LM15Error: The recorded failure, after the pieces that had come before it.
            UnfinishedRecordingError: The recorded call was read, or went on, no further.
        """
        found = self._found()
        answered = None if found.response is None else self._answered(found)
        pieces: Iterable[tuple[float, Any]] = ()
        if found.chunks is not None:
            with self._readable():
                pieces = paced(found.chunks, realtime=self.cassette.realtime)
        elif answered is not None:
            pieces = ((0.0, event) for event in stream_events(answered.response))
        count = 0
        for pause, event in pieces:
            count += event.type == "delta"
            yield pause, event
        if answered is None:
            self._fail_as(found, count)
        self._journal(found=found, answered=answered, chunks=count)

    @property
    def patience(self) -> float:
        """Seconds for which an asynchronous call goes on that was cancelled when it was recorded: it will be again."""
        found = self.found
        if found is None or found.ended != "cancelled":
            return 0.0
        return 30.0 + (found.elapsed_ms or 0.0) / 1000

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask the recorded LM in this block; a call that ends early is recorded, or reported as not kept.

        Raises:
            BudgetExceededError: The caller may ask no more.
        """
        try:
            self._entry.reservation = self._entry.caller.admit(self._entry.request, self._entry.identity)
            yield
        except LM15Error as error:
            self._failed(error)
            raise
        except BaseException as error:
            self._abandoned(error)
            raise

    def heard(self, event: Any) -> None:
        """Take in a piece of a live stream."""
        if self._pieces is None:
            self._pieces = []
        self._pieces.append((self.elapsed_ms, event))

    def answered(self, response: Response) -> Response:
        """Record a live answer and return it."""
        self._keep(response)
        return response

    def assembled(self) -> Response:
        """What a live stream says as a whole.

        Raises:
            LM15Error: It broke off.
        """
        return materialize_response(iter([event for _, event in self._pieces or ()]), self._request)

    def streamed(self, response: Response) -> Any:
        """Keep a live stream; returns its last event, which was held back until all of it was kept."""
        self._keep(response)
        assert self._pieces is not None, "a stream that is a response has an end"
        return self._pieces[-1][1]

    def _failed(self, error: LM15Error) -> None:
        """Keep a failure of the provider, with the pieces that came before it."""
        self._put(Interaction(self.asked, error=error_to_dict(error), chunks=self._chunks()))
        if not self._engine.journaled_elsewhere:
            self._journal(error=error.message.splitlines()[0] if error.message else type(error).__name__, live=True)

    def _abandoned(self, reason: BaseException) -> None:
        """Keep that nobody waits any more, with the pieces that came; or write down that our side has failed."""
        name = type(reason).__name__
        error = f"{name}: {reason}" if isinstance(reason, Exception) else f"abandoned: {name}"
        ended = next((how for kind, how in _ENDS.items() if isinstance(reason, kind)), None)
        if ended is not None:
            try:
                self._put(Interaction(self.asked, ended=ended, chunks=self._chunks()))
            except CassetteError as unkept:
                # Whoever cancels is told of the cancellation; the report and the end of the recording tell this.
                logger.warning("%s", unkept)
        elif self._order is not None:
            self.cassette.forgo(self._order, error)
        if not self._engine.journaled_elsewhere:
            self._journal(error=error, live=True)

    def _keep(self, response: Response) -> None:
        cost = cost_of(str(self._engine.lm.model), self._request, response)
        self._put(Interaction(self.asked, response=response_record(response), chunks=self._chunks(), cost=cost))
        if not self._engine.journaled_elsewhere:
            count = None if self._pieces is None else sum(event.type == "delta" for _, event in self._pieces)
            self._journal(answered=Answered(response), chunks=count, cost=cost, live=True)

    def _chunks(self) -> tuple[dict[str, Any], ...] | None:
        if self._pieces is None:
            return None
        return tuple({"at_ms": round(at, 1), "event": event_record(event)} for at, event in self._pieces)

    def _put(self, interaction: Interaction) -> None:
        model = str(self._engine.lm.model)
        elapsed = self.elapsed_ms
        # When it was asked: recordings of several processes are put together in this order.
        began = self.cassette.now().astimezone(UTC) - timedelta(milliseconds=elapsed)
        interaction = replace(
            interaction,
            recorded_at=began.isoformat(),
            elapsed_ms=round(elapsed, 1),
            live_model=model if model != interaction.model else None,
        )
        assert self._order is not None, "what was asked live has its place in the order of asking"
        try:
            self.cassette.introduce(self._engine.identity)
            self.cassette.keep(interaction, self._order)
        except CassetteError as error:
            raise as_lm_error(error, model=self._request.model) from None

    def _found(self) -> Interaction:
        assert self.found is not None
        return self.found

    def _fail_as(self, found: Interaction, pieces: int) -> None:
        """Fail as the recorded call did.

        Raises:
            LM15Error: The recorded failure.
            UnfinishedRecordingError: The recorded call got no answer, because nobody waited for it.
        """
        if found.error is not None:
            self._journal(error=str(found.error.get("message") or found.error.get("code")).splitlines()[0])
            raise error_from_dict(found.error)
        assert found.ended is not None, "an interaction has a response, an error or an early end"
        error = unfinished(self.cassette.path, found.ended, pieces, found.elapsed_ms)
        self._journal(error=error.message, chunks=pieces)
        raise as_lm_error(error, model=self._request.model)

    def _answered(self, found: Interaction) -> Answered:
        if found.response is None:
            self._fail_as(found, 0)
        known = self.cassette.decoded
        answered: Answered | None = known.get(id(found))
        if answered is None:
            with self._readable():
                answered = known[id(found)] = Answered.from_record(found.response or {})
        return answered

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            with readable(self.cassette.path):
                yield
        except CassetteFormatError as unread:
            self._journal(error=unread.message)
            raise as_lm_error(unread, model=self._request.model) from unread.__cause__

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
        told: Outcome = {
            "mocked": not live,
            "engine": "record" if live else "replay",
            "cost": cost if found is None else found.cost,
            "rule": None if live or found is None else f"cassette:{self.cassette.name}",
            "error": error,
            "stream_chunks": chunks,
        }
        if answered is not None:
            # Read once, however often a recording is played.
            told["outputs"] = answered.outputs(self._entry.capture)
            told["completion"] = text_of(answered.response)
            told["parts"] = answered.parts
            told["finish_reason"] = answered.response.finish_reason
            told["usage"] = answered.usage(self._engine.template)
        self._entry.write(told)


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
        with call.asking():
            for event in ask_live.stream(self.lm, request):
                call.heard(event)
                if event.type != "end":
                    yield event
            response = call.assembled()
        yield call.streamed(response)

    def close(self) -> None:
        """Do nothing: the recorded LM is closed by the code that created it."""


class AsyncCassetteEngine(SharedEngine):
    """The same for `acall`."""

    def __init__(self, engine: CassetteEngine) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        """Answer at once."""
        call = CassetteCall(self._engine, request)
        if call.found is not None:
            await _go_on(call)
            return call.replay()
        with call.asking():
            response = await ask_live.ask_async(self._engine.lm, request)
        return call.answered(response)

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        """Answer piece by piece."""
        call = CassetteCall(self._engine, request)
        if call.found is not None:
            pieces = call.events()
            left = len(call.found.chunks or ())
            while True:
                if not left:
                    await _go_on(call)
                piece = next(pieces, None)
                if piece is None:
                    return
                if piece[0]:
                    await asyncio.sleep(piece[0])
                yield piece[1]
                left -= 1
        with call.asking():
            async for event in ask_live.stream_async(self._engine.lm, request):
                call.heard(event)
                if event.type != "end":
                    yield event
            response = call.assembled()
        yield call.streamed(response)

    async def aclose(self) -> None:
        """Nothing is held open."""


async def _go_on(call: CassetteCall) -> None:
    """Wait, where nothing more was recorded because the call was cancelled, for the cancellation of this one."""
    if call.patience:
        await asyncio.sleep(call.patience)
