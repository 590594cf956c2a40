"""The engine pair behind `MockLM`: a request in, a response out, an `LMCall` in the journal.

Keeps the contract of `dspy.clients.engines.base`; retries, caching, `n` and history belong to DSPy. Every call goes the
same way, in whichever colour and streamed or not: the caller is let in, a fault of the schedule may take the answer's
place, a source decides what to say, `reply` completes and renders it, a delay is waited for, and the journal is written
however that ends.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import dspy
from dspy.lm15 import Request, Response

from dspex_testkit.calls import Caller, Counters, Journal, LMCall, LocalCounters, Usage
from dspex_testkit.calls.prices import listed_rates, per_million
from dspex_testkit.dspy_internals.call_stack import current_call
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.engines.engine_lm import SharedEngine
from dspex_testkit.engines.entry import Entry, Outcome
from dspex_testkit.engines.lm_errors import as_lm_error
from dspex_testkit.engines.stream_events import is_chunk, stream_events
from dspex_testkit.engines.values import to_json_mapping
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.clock import Clock, RealClock
from dspex_testkit.mock_lm.completing import MakerFor
from dspex_testkit.mock_lm.fault_spec import FaultSpec
from dspex_testkit.mock_lm.faults import FaultSchedule, error_of, spoil
from dspex_testkit.mock_lm.made_up import RandomValues, derived_values, refused_values
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.rendering import extract_fields
from dspex_testkit.mock_lm.reply import Reply, reply_to
from dspex_testkit.mock_lm.sources import Source
from dspex_testkit.mock_lm.spec import MockSpec
from dspex_testkit.mock_lm.timing import Timing


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the model can do that is impersonated; adapters ask for it."""

    function_calling: bool = False
    response_schema: bool = False
    reasoning: bool = False
    params: frozenset[str] = field(default_factory=frozenset)
    """OpenAI-style names of supported parameters, `response_format` among them."""


class MockEngine(SharedEngine):
    """Answers requests from a spec.

    Args:
        spec: How to answer.
        provider: The provider that is impersonated.
        model: The model that is impersonated, without a prefix.
        capabilities: What that model can do.
        state: Counters; the engine's own by default.
        journal: Where calls go that no bridge asked for.
        clock: Where delays are waited for.
        allow_import: Module prefixes from which the spec may name a function.

    Raises:
        InvalidMockSpecError: Rules contradict each other, or a function cannot be had.
    """

    def __init__(
        self,
        spec: MockSpec,
        *,
        provider: str,
        model: str,
        capabilities: Capabilities,
        state: Counters | None = None,
        journal: Journal | None = None,
        clock: Clock | None = None,
        allow_import: Sequence[str] | None = None,
    ) -> None:
        self.spec = spec
        self.provider = provider
        self.model = model
        self.capabilities = capabilities
        self.identity = LMCall(provider=provider, model=model, engine=spec.mode)
        self.state = LocalCounters() if state is None else state
        self.journal = Journal() if journal is None else journal
        self.clock: Clock = RealClock() if clock is None else clock
        self.source = Source(spec, self.state, allow_import=allow_import)
        self.faults = FaultSchedule(spec.faults, self.state) if spec.faults else None
        self.timing = Timing(spec)
        prices = spec.prices
        self._own_rates = None if prices is None else per_million(prices.model_dump(exclude_none=True))
        self.maker_for: MakerFor = _maker_of(spec, self.state)

    @property
    def supports_function_calling(self) -> bool:
        """Read by DSPy's adapters."""
        return self.capabilities.function_calling

    @property
    def supports_response_schema(self) -> bool:
        """Read by DSPy's adapters."""
        return self.capabilities.response_schema

    @property
    def supports_reasoning(self) -> bool:
        """Read by DSPy's adapters."""
        return self.capabilities.reasoning

    @property
    def supported_params(self) -> frozenset[str]:
        """Read by DSPy's adapters."""
        return self.capabilities.params

    def price(self, usage: Usage) -> Decimal | None:
        """What a call costs, at prices given or listed for the model that is impersonated; None where nobody knows."""
        rates = self._own_rates
        if rates is None:
            rates = listed_rates(self.provider, self.model, usage.input_tokens or 0)
        return None if rates is None else rates.cost(usage)

    def complete(self, request: Request) -> Response:
        """Answer in one piece."""
        answering = self._begin(request)
        try:
            self._decide(answering)
            delay = answering.delay(streamed=False)
            if delay:
                self.clock.sleep(delay)
            return answering.finish()
        except Exception as error:
            raise answering.fail(error) from error.__cause__
        except BaseException as error:
            answering.abandon(error)
            raise

    async def acomplete(self, request: Request) -> Response:
        """Answer in one piece, waiting without holding up the event loop."""
        answering = self._begin(request)
        try:
            await self._adecide(answering)
            delay = answering.delay(streamed=False)
            if delay:
                await self.clock.asleep(delay)
            return answering.finish()
        except Exception as error:
            raise answering.fail(error) from error.__cause__
        except BaseException as error:
            answering.abandon(error)
            raise

    def stream(self, request: Request) -> Iterator[Any]:
        """Answer word by word."""
        answering = self._begin(request)
        try:
            self._decide(answering)
            for event in stream_events(answering.response):
                delay = answering.before_event(event)
                if delay:
                    self.clock.sleep(delay)
                yield event
        except Exception as error:
            raise answering.fail(error) from error.__cause__
        except BaseException as error:
            answering.abandon(error)
            raise
        answering.finish()

    async def astream(self, request: Request) -> AsyncIterator[Any]:
        """Answer word by word, waiting without holding up the event loop."""
        answering = self._begin(request)
        try:
            await self._adecide(answering)
            for event in stream_events(answering.response):
                delay = answering.before_event(event)
                if delay:
                    await self.clock.asleep(delay)
                yield event
        except Exception as error:
            raise answering.fail(error) from error.__cause__
        except BaseException as error:
            answering.abandon(error)
            raise
        answering.finish()

    def close(self) -> None:
        """Nothing is held open."""

    def _begin(self, request: Request) -> "_Answering":
        context = current_call()
        caller = caller_now()
        reservation = caller.admit(request, self.identity, self._own_rates)
        number = self.state.next_index("calls") + 1 if self.source.rules.counts_calls else None
        call = MockCall(
            provider=self.provider,
            model=self.model,
            request=request,
            capture=context.capture,
            program_id=caller.program_id,
            session_id=caller.session_id,
            number=number,
            params=context.params,
        )
        return _Answering(self, call, caller, reservation)

    def _decide(self, answering: "_Answering") -> None:
        answering.meet_fault()
        answering.answer(answering.extracted() or self.source.answer(answering.call))

    async def _adecide(self, answering: "_Answering") -> None:
        answering.meet_fault()
        answering.answer(answering.extracted() or await self.source.aanswer(answering.call))

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "provider": self.provider, "model": self.model, "capabilities": self.capabilities}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _maker_of(spec: MockSpec, counters: Counters) -> MakerFor:
    if spec.mode == "random":
        return RandomValues(spec, counters)
    return refused_values if spec.derived == "fail" else derived_values


class _Answering:
    """One call: what is asked, what will be answered, what the journal will say."""

    __slots__ = (
        "_chunks",
        "_engine",
        "_entry",
        "_fault",
        "_latency",
        "_pauses",
        "_reply",
        "_rule",
        "call",
    )

    def __init__(self, engine: MockEngine, call: MockCall, caller: Caller, reservation: int | None) -> None:
        self.call = call
        self._engine = engine
        self._entry = Entry(
            engine.identity,
            call.request,
            call.capture,
            caller,
            engine.journal,
            inputs=lambda: to_json_mapping(call.inputs),
            clock=engine.clock.now,
            reservation=reservation,
        )
        self._reply: Reply | None = None
        self._rule: str | None = None
        self._fault: FaultSpec | None = None
        self._latency = 0.0
        self._pauses: Any = None
        self._chunks: int | None = None

    @property
    def response(self) -> Response:
        """The answer as DSPy takes it; only once there is one."""
        assert self._reply is not None
        return self._reply.response(self.call.request.model)

    def meet_fault(self) -> None:
        """Look whether this call is struck by a fault of the mock's schedule.

        Raises:
            LM15Error: The fault takes the place of the answer.
        """
        faults = self._engine.faults
        self._fault = None if faults is None else faults.strike(self.call)
        if self._fault is not None:
            self._raise(self._fault)

    def extracted(self) -> Answer | None:
        """For TwoStep's second call the values of its draft, unless this mock was given answers of its own."""
        capture = self.call.capture
        if capture is None or capture.outer is None:
            return None
        same_mock = getattr(capture.outer.lm, "engine", None) is self._engine
        if not same_mock and self._engine.spec.mode not in ("derived", "random"):
            return None
        fields = extract_fields(capture.signature, str(capture.inputs["text"]))
        return None if fields is None else Answer(rule="extracted", fields=fields)

    def answer(self, answer: Answer) -> None:
        """Take a decided answer.

        Raises:
            AnswerError: It does not fit.
            LM15Error: The answer is a fault.
        """
        self._rule = answer.rule
        fault = answer.fault or self._fault
        if answer.fault is not None:
            self._fault = answer.fault
            self._raise(answer.fault)
        reply = reply_to(self.call, answer, self._engine.maker_for, self._engine.price)
        self._reply = reply if fault is None else spoil(reply, fault, self.call)
        self._latency = self._engine.timing.latency(self.call, answer)

    def delay(self, *, streamed: bool) -> float:
        """Seconds until the answer is there."""
        stalled = self._fault is not None and self._fault.kind == "stall" and not streamed
        return self._latency + (self._fault.stall_ms / 1000 if stalled and self._fault is not None else 0.0)

    def before_event(self, event: Any) -> float:
        """Seconds before an event of the stream.

        Raises:
            LM15Error: The stream drops here.
        """
        if not is_chunk(event):
            return self._begin_stream() if event.type == "start" else 0.0
        chunk = self._chunks or 0
        delay: float = 0.0 if self._pauses is None else self._pauses.before(chunk)
        fault = self._fault
        if fault is not None and chunk == fault.after_chunks:
            if fault.kind == "dropped_stream":
                error = error_of(fault, self.call)
                assert error is not None
                raise error
            if fault.kind == "stall":
                delay += fault.stall_ms / 1000
        self._chunks = chunk + 1
        return delay

    def finish(self) -> Response:
        """Write the journal and hand out the answer."""
        self.record()
        return self.response

    def fail(self, error: Exception) -> Exception:
        """Write the journal; what is to be raised."""
        if isinstance(error, DSPexTestkitError):
            self.record(error=error.message)
            spec = self._engine.spec
            note = f" The mock's seed is {spec.seed!r}." if spec.mode == "random" else ""
            return as_lm_error(error, model=self.call.request.model, note=note)
        self.record(error=f"{type(error).__name__}: {error}")
        return error

    def abandon(self, reason: BaseException) -> None:
        """Write the journal where nobody waits for the answer any more: cancelled, interrupted, stream closed."""
        self.record(error=f"abandoned: {type(reason).__name__}")

    def record(self, *, error: str | None = None) -> None:
        """Write the journal."""
        reply = self._reply
        outcome: Outcome = {
            "rule": self._rule,
            "fault": None if self._fault is None else self._fault.kind,
            "error": error,
            "stream_chunks": self._chunks,
            "seed": self._engine.spec.seed,
        }
        if reply is not None:
            if reply.secrets:
                self._entry.journal.learn(reply.secrets)
            # What was about to be said is told even where it never arrived whole.
            outcome["completion"] = reply.text
            outcome["parts"] = tuple([part.type for part in reply.message.parts])
            if error is None:
                outcome["outputs"] = to_json_mapping(reply.outputs)
                outcome["finish_reason"] = reply.finish_reason
                outcome["usage"] = reply.usage
                outcome["cost"] = reply.cost
        self._entry.write(outcome)

    def _begin_stream(self) -> float:
        self._chunks = 0
        self._pauses = self._engine.timing.pauses(self.call)
        return self.delay(streamed=True)

    def _raise(self, fault: FaultSpec) -> None:
        if fault.kind == "dropped_stream" and dspy.settings.send_stream is not None:
            return
        error = error_of(fault, self.call)
        if error is not None:
            raise error


class AsyncMockEngine(SharedEngine):
    """The same engine for `acall`."""

    def __init__(self, engine: MockEngine) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        """Answer in one piece."""
        return await self._engine.acomplete(request)

    def stream(self, request: Request) -> AsyncIterator[Any]:
        """Answer word by word."""
        return self._engine.astream(request)

    async def aclose(self) -> None:
        """Nothing is held open."""
