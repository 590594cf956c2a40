"""`CassetteCall`: one request on its way through a cassette and into the journal."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dspy.lm15 import LM15Error, Request, Response, materialize_response

from dspex_testkit.calls import LMCall, Usage
from dspex_testkit.cassettes.answered import Answered
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.playing import paced, readable
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
from dspex_testkit.engines.lm_errors import as_lm_error
from dspex_testkit.engines.prompts import prompt_for
from dspex_testkit.engines.responses import inputs_of, text_of
from dspex_testkit.engines.stream_events import stream_events
from dspex_testkit.errors import CassetteError, CassetteFormatError

if TYPE_CHECKING:
    from dspex_testkit.cassettes.engine import CassetteEngine

_NO_USAGE = Usage()


class CassetteCall:
    """One request to the LM of a cassette.

    Args:
        engine: Whose it is.
        request: What is asked.

    Raises:
        LM15Error: There is no recording that answers, and no LM to ask.
    """

    __slots__ = ("_engine", "_request", "_started", "asked", "cassette", "found")

    def __init__(self, engine: "CassetteEngine", request: Request) -> None:
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
            events: Iterable[tuple[float, Any]] = ((0.0, event) for event in stream_events(answered.response))
        else:
            with self._readable():
                events = paced(found.chunks, realtime=self.cassette.realtime)
        for pause, event in events:
            count += event.type == "delta"
            yield pause, event
        self._journal(found=found, answered=answered, chunks=count)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask the LM behind the cassette in this block, and keep or write down how it fails.

        Raises:
            BudgetExceededError: The caller may ask no more.
        """
        caller_now().admit()
        try:
            yield
        except LM15Error as error:
            self._failed(error)
            raise
        except BaseException as error:
            self._abandoned(error)
            raise

    def answered(self, response: Response) -> Response:
        """Keep a live answer, and hand it on."""
        self._keep(response, chunks=None)
        return response

    def assembled(self, events: list[tuple[float, Any]]) -> Response:
        """What a live stream says as a whole.

        Raises:
            LM15Error: It broke off.
        """
        return materialize_response(iter([event for _, event in events]), self._request)

    def streamed(self, response: Response, events: list[tuple[float, Any]]) -> Any:
        """Keep a live stream; returns its last event, which was held back so that nothing is kept of a cut one."""
        self._keep(response, chunks=events)
        return events[-1][1]

    def _failed(self, error: LM15Error) -> None:
        """Keep a failure of the provider."""
        self._put(Interaction(self.asked, error=error_to_dict(error)))
        if not self._engine.journaled_elsewhere:
            self._journal(error=error.message.splitlines()[0] if error.message else type(error).__name__, live=True)

    def _abandoned(self, reason: BaseException) -> None:
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
