"""The engine pair behind `MockLM`: a request in, a response out, an `LMCall` in the journal.

Keeps the contract of `dspy.clients.engines.base`; retries, caching, `n` and history belong to DSPy.
"""

import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dspy
from dspy.lm15 import CitationPart, Message, Request, Response, TextPart, ThinkingPart, ToolCallPart
from dspy.lm15 import Usage as WireUsage

from dspex_testkit.calls import CALLER_SETTING, Caller, Counters, Journal, LMCall, LocalCounters
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.mock_lm.answers import NOTHING, Answer
from dspex_testkit.mock_lm.capture import current_call
from dspex_testkit.mock_lm.completing import complete
from dspex_testkit.mock_lm.failures import as_lm_error
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.rendering import extract_fields, render
from dspex_testkit.mock_lm.sources import RandomValues, derived_values, source_for
from dspex_testkit.mock_lm.spec import MockSpec
from dspex_testkit.mock_lm.streaming import is_chunk, stream_events
from dspex_testkit.mock_lm.usage import estimate_usage
from dspex_testkit.mock_lm.values import to_json, to_json_mapping

_NO_CALLER = Caller()


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
        self._maker_for = RandomValues(spec.seed, self.state) if spec.mode == "random" else derived_values

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
        response, entry = self._respond(request)
        self._record(entry)
        return response

    def stream(self, request: Request) -> Iterator[Any]:
        """Answer word by word."""
        response, entry = self._respond(request)
        chunks = 0
        try:
            for event in stream_events(response):
                chunks += is_chunk(event)
                yield event
        finally:
            self._record(replace(entry, stream_chunks=chunks))

    def close(self) -> None:
        """Nothing is held open."""

    def _respond(self, request: Request) -> tuple[Response, LMCall]:
        started = time.perf_counter()
        call = self._call(request)
        entry = LMCall(
            provider=self.provider,
            model=self.model,
            engine=self.spec.mode,
            signature=call.signature_name,
            inputs=to_json_mapping(call.inputs),
            seed=self.spec.seed,
        )
        try:
            answer = self._answer(call)
            response, entry = self._build(answer, call, entry)
        except DSPexTestkitError as error:
            self._record(replace(entry, error=error.message, latency_ms=_since(started)))
            raise as_lm_error(error, model=request.model) from error.__cause__
        return response, replace(entry, latency_ms=_since(started))

    def _call(self, request: Request) -> MockCall:
        context = current_call()
        caller = _caller()
        return MockCall(
            provider=self.provider,
            model=self.model,
            request=request,
            capture=context.capture,
            program_id=caller.program_id,
            session_id=caller.session_id,
            rollout_id=context.params.get("rollout_id"),
            params=context.params,
        )

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

    def _build(self, answer: Answer, call: MockCall, entry: LMCall) -> tuple[Response, LMCall]:
        if call.capture is None:
            outputs, parts = _free_text(answer, call, self._maker_for)
        else:
            values = complete(answer, call, self._maker_for)
            outputs, parts = values, _parts(call, values)
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        calls = [part for part in parts if isinstance(part, ToolCallPart)]
        thinking = [len(part.text) for part in parts if isinstance(part, ThinkingPart)]
        usage = estimate_usage(
            call.request,
            output_chars=len(text) + sum(len(part.name) + len(json.dumps(part.input)) for part in calls),
            reasoning_chars=sum(thinking) if thinking else None,
        )
        finish = "tool_call" if calls else "stop"
        response = Response(
            id=None,
            model=call.request.model,
            message=Message.assistant(parts),
            finish_reason=finish,
            usage=WireUsage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                reasoning_tokens=usage.reasoning_tokens,
            ),
        )
        return response, replace(
            entry,
            outputs=to_json_mapping(outputs),
            completion=text,
            finish_reason=finish,
            usage=usage,
            rule=answer.rule,
        )

    def _record(self, entry: LMCall) -> None:
        caller = _caller()
        journal = caller.journal if caller.journal is not None else self.journal
        journal.record(caller.sign(replace(entry, time=time.time())))

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


def _caller() -> Caller:
    caller = dspy.settings.get(CALLER_SETTING)
    return caller if isinstance(caller, Caller) else _NO_CALLER


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _free_text(answer: Answer, call: MockCall, maker_for: Any) -> tuple[dict[str, Any], list[Any]]:
    """The answer to a call without an adapter: the value as text, an object as JSON."""
    if answer.fields is not None:
        given: Any = dict(answer.fields)
    elif answer.value is not NOTHING:
        given = answer.value
    else:
        given = maker_for(call).value(str, "response")
    text = given if isinstance(given, str) else json.dumps(to_json(given), ensure_ascii=False)
    return {"text": text}, [TextPart(text)]


def _parts(call: MockCall, values: Mapping[str, Any]) -> list[Any]:
    """The answer's parts: native fields as parts of their own, the rest as the adapter's text."""
    assert call.capture is not None
    asked = call.signature.output_fields
    parts: list[Any] = []
    trailing: list[Any] = []
    for name, value in values.items():
        if name in asked:
            continue
        if isinstance(value, dspy.Reasoning):
            parts.append(ThinkingPart(value.content))
        elif isinstance(value, dspy.ToolCalls):
            for i, tool in enumerate(value.tool_calls):
                trailing.append(ToolCallPart(id=tool.id or f"call_{i}", name=tool.name, input=to_json(tool.args)))
        elif isinstance(value, dspy.Citations):
            trailing += [CitationPart(text=item.cited_text, title=item.document_title) for item in value]
    if asked:
        text = render(call.capture, {name: values[name] for name in asked})
        parts.append(TextPart(text))
    return [*parts, *trailing]
