"""The engine pair behind `MockLM`: a request in, a response out, an `LMCall` in the journal.

Keeps the contract of `dspy.clients.engines.base`; retries, caching, `n` and history belong to DSPy.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dspy.lm15 import Request, Response

from dspex_testkit.calls import Counters, Journal, LMCall, LocalCounters, Usage
from dspex_testkit.calls.prices import Rates, listed_rates, per_million
from dspex_testkit.dspy_internals.call_stack import current_call
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.engines.engine_lm import SharedEngine
from dspex_testkit.engines.stream_events import stream_events
from dspex_testkit.mock_lm.answering import Answering
from dspex_testkit.mock_lm.clock import Clock, RealClock
from dspex_testkit.mock_lm.completing import MakerFor
from dspex_testkit.mock_lm.faults import FaultSchedule
from dspex_testkit.mock_lm.made_up import RandomValues, derived_values
from dspex_testkit.mock_lm.mock_call import MockCall
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
        self.maker_for: MakerFor = RandomValues(spec, self.state) if spec.mode == "random" else derived_values

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
        if self.spec.prices is not None:
            rates: Rates | None = per_million(self.spec.prices.model_dump(exclude_none=True))
        else:
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

    def _begin(self, request: Request) -> Answering:
        context = current_call()
        caller = caller_now()
        caller.admit()
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
        return Answering(self, call, caller)

    def _decide(self, answering: Answering) -> None:
        answering.meet_fault()
        answering.answer(answering.extracted() or self.source.answer(answering.call))

    async def _adecide(self, answering: Answering) -> None:
        answering.meet_fault()
        answering.answer(answering.extracted() or await self.source.aanswer(answering.call))

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "provider": self.provider, "model": self.model, "capabilities": self.capabilities}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


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
