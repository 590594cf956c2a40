"""The engine pair behind `MockLM`: a request in, a response out, an `LMCall` in the journal.

Keeps the contract of `dspy.clients.engines.base`; retries, caching, `n` and history belong to DSPy.
"""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.lm15 import Request, Response

from dspex_testkit.calls import CALLER_SETTING, Caller, Counters, Journal, LMCall, LocalCounters, Usage
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.capture import current_call
from dspex_testkit.mock_lm.completing import MakerFor
from dspex_testkit.mock_lm.failures import as_lm_error
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.rendering import extract_fields
from dspex_testkit.mock_lm.reply import Reply, reply_to
from dspex_testkit.mock_lm.sources import RandomValues, derived_values, source_for
from dspex_testkit.mock_lm.spec import MockSpec
from dspex_testkit.mock_lm.streaming import is_chunk, stream_events
from dspex_testkit.mock_lm.values import to_json_mapping

_NO_CALLER = Caller()
_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the model can do that is impersonated; adapters ask for it."""

    function_calling: bool = False
    response_schema: bool = False
    reasoning: bool = False
    params: frozenset[str] = field(default_factory=frozenset)
    """OpenAI-style names of supported parameters, `response_format` among them."""


class MockEngine:
    """Answers requests from a spec.

    Args:
        spec: How to answer.
        provider: The provider that is impersonated.
        model: The model that is impersonated, without a prefix.
        capabilities: What that model can do.
        state: Counters; the engine's own by default.
        journal: Where calls go that no bridge asked for.
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
    ) -> None:
        self.spec = spec
        self.provider = provider
        self.model = model
        self.capabilities = capabilities
        self.state = state or LocalCounters()
        self.journal = journal or Journal()
        self._source = source_for(spec, self.state)
        self.maker_for: MakerFor = RandomValues(spec.seed, self.state) if spec.mode == "random" else derived_values

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

    def complete(self, request: Request) -> Response:
        """Answer at once."""
        return self._begin(request).finish()

    def stream(self, request: Request) -> Iterator[Any]:
        """Answer word by word."""
        answered = self._begin(request)
        chunks = 0
        try:
            for event in stream_events(answered.response):
                chunks += is_chunk(event)
                yield event
        finally:
            answered.finish(stream_chunks=chunks)

    def close(self) -> None:
        """Nothing is held open."""

    def _begin(self, request: Request) -> "_Answered":
        started = time.perf_counter()
        context = current_call()
        caller = _caller()
        call = MockCall(
            provider=self.provider,
            model=self.model,
            request=request,
            capture=context.capture,
            program_id=caller.program_id,
            session_id=caller.session_id,
            params=context.params,
        )
        answered = _Answered(self, call, caller, started)
        try:
            answered.answer(self._answer(call))
        except DSPexTestkitError as error:
            answered.record(error=error.message)
            raise as_lm_error(error, model=request.model) from error.__cause__
        return answered

    def _answer(self, call: MockCall) -> Answer:
        capture = call.capture
        if capture is not None and capture.outer is not None:
            # TwoStep's second call: repeat the draft's values, unless this mock was given answers of its own.
            same_mock = getattr(capture.outer.lm, "engine", None) is self
            if same_mock or self.spec.mode in ("derived", "random"):
                fields = extract_fields(capture.signature, str(capture.inputs["text"]))
                if fields is not None:
                    return Answer(rule="extracted", fields=fields)
        return self._source.answer(call)

    def __deepcopy__(self, memo: dict[int, Any]) -> "MockEngine":
        # Optimizers deep-copy programs; the copy is the same LM, with the same journal and script position.
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "provider": self.provider, "model": self.model, "capabilities": self.capabilities}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class AsyncMockEngine:
    """The same engine for `acall`: there is nothing to wait for."""

    def __init__(self, engine: MockEngine) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        """Answer at once."""
        return self._engine.complete(request)

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        """Answer word by word."""
        for event in self._engine.stream(request):
            yield event

    async def aclose(self) -> None:
        """Nothing is held open."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "AsyncMockEngine":
        return self


class _Answered:
    """One call on its way to the journal."""

    __slots__ = ("_call", "_caller", "_engine", "_reply", "_rule", "_started", "response")

    def __init__(self, engine: MockEngine, call: MockCall, caller: Caller, started: float) -> None:
        self._engine = engine
        self._call = call
        self._caller = caller
        self._started = started
        self._reply: Reply | None = None
        self._rule: str | None = None
        self.response: Any = None

    def answer(self, answer: Answer) -> None:
        self._rule = answer.rule
        self._reply = reply_to(self._call, answer, self._engine.maker_for)
        self.response = self._reply.response(self._call.request.model)

    def finish(self, *, stream_chunks: int | None = None) -> Response:
        self.record(stream_chunks=stream_chunks)
        return self.response

    def record(self, *, error: str | None = None, stream_chunks: int | None = None) -> None:
        engine, caller, reply = self._engine, self._caller, self._reply
        journal = caller.journal if caller.journal is not None else engine.journal
        journal.record(
            # Written out, where `Caller.sign` would copy it once more.
            LMCall(
                provider=engine.provider,
                model=engine.model,
                scope=caller.scope,
                engine=engine.spec.mode,
                program_id=caller.program_id,
                session_id=caller.session_id,
                worker_id=caller.worker_id,
                lm_id=caller.lm_id,
                signature=self._call.signature_name,
                inputs=to_json_mapping(self._call.inputs),
                outputs=None if reply is None else to_json_mapping(reply.outputs),
                completion=None if reply is None else reply.text,
                finish_reason=None if reply is None else reply.finish_reason,
                usage=_NO_USAGE if reply is None else reply.usage,
                latency_ms=(time.perf_counter() - self._started) * 1000,
                rule=self._rule,
                error=error,
                stream_chunks=stream_chunks,
                seed=engine.spec.seed,
                time=time.time(),
            )
        )


def _caller() -> Caller:
    caller = dspy.settings.get(CALLER_SETTING)
    return caller if isinstance(caller, Caller) else _NO_CALLER
