"""From a decided answer to the parts of a response, with the values that the journal keeps."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

import dspy
from dspy.lm15 import Message, Response, TextPart, ThinkingPart, ToolCallPart
from dspy.lm15 import Usage as WireUsage

from dspex_testkit.calls import Usage
from dspex_testkit.engines.signature_shape import shape_of
from dspex_testkit.engines.values import to_json
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.completing import MakerFor, complete
from dspex_testkit.mock_lm.direct import direct_answer
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.rendering import render
from dspex_testkit.mock_lm.usage import estimate_usage


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: the response's message and what it means."""

    message: Message
    outputs: Mapping[str, Any]
    """Values per output field."""
    text: str
    finish_reason: str
    usage: Usage
    cost: Decimal | None = None

    def response(self, model: str) -> Response:
        """The reply as DSPy expects it from an engine."""
        usage = self.usage
        return Response(
            id=None,
            model=model,
            message=self.message,
            finish_reason=self.finish_reason,
            usage=_on_the_wire(usage.input_tokens, usage.output_tokens, usage.reasoning_tokens, usage.cached_tokens),
        )


@lru_cache(maxsize=1024)
def _on_the_wire(
    input_tokens: int | None, output_tokens: int | None, reasoning_tokens: int | None, cached_tokens: int | None
) -> WireUsage:
    """The counts as DSPy takes them; it checks each of eight, and the same question costs the same again."""
    return WireUsage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
        cache_read_tokens=cached_tokens,
    )


def reply_to(call: MockCall, answer: Answer, maker_for: MakerFor, price: Callable[[Usage], Decimal | None]) -> Reply:
    """Complete, type and render an answer, and count it.

    Raises:
        AnswerError: The answer does not fit the signature, or the adapter cannot carry it.
    """
    reply = _compose(call, answer, maker_for)
    if answer.usage is not None:
        reply = replace(reply, usage=replace(reply.usage, **answer.usage))
    if answer.finish_reason is not None:
        reply = replace(reply, finish_reason=answer.finish_reason)
    cost = answer.cost
    if cost is None:
        cost = price(reply.usage)
    return reply if cost is None else replace(reply, cost=cost)


def _compose(call: MockCall, answer: Answer, maker_for: MakerFor) -> Reply:
    if answer.completion is not None:
        before = [] if answer.reasoning is None else [ThinkingPart(answer.reasoning)]
        return _of_parts(call, [*before, TextPart(answer.completion)], {}, answer.completion)
    if call.capture is None:
        return _without_adapter(call, answer, maker_for)
    values = complete(answer, call, maker_for)
    asked = shape_of(call.signature).outputs
    if len(asked) == len(values) and answer.reasoning is None:
        message = render(call.capture, values)
        return _reply(call, message, values, message.parts[0].text)
    before, after = _native_parts(values, asked)
    if answer.reasoning is not None and call.shape.reasoning is None:
        before.append(ThinkingPart(answer.reasoning))
    texts = render(call.capture, {name: values[name] for name in asked}).parts if asked else ()
    return _of_parts(call, [*before, *texts, *after], values, texts[0].text if texts else "")


def _of_parts(call: MockCall, parts: list[Any], outputs: Mapping[str, Any], text: str) -> Reply:
    return _reply(call, Message("assistant", tuple(parts)), outputs, text)


def _reply(call: MockCall, message: Message, outputs: Mapping[str, Any], text: str) -> Reply:
    finish, output_chars, reasoning_chars = "stop", len(text), None
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            finish = "tool_call"
            output_chars += len(part.name) + len(json.dumps(part.input))
        elif isinstance(part, ThinkingPart):
            reasoning_chars = (reasoning_chars or 0) + len(part.text)
    usage = estimate_usage(call.request, output_chars=output_chars, reasoning_chars=reasoning_chars)
    return Reply(message=message, outputs=outputs, text=text, finish_reason=finish, usage=usage)


def _native_parts(values: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """The fields that travel as parts of their own, before and after the text.

    Native citations stay out: DSPy itself cannot read them back.
    """
    before: list[Any] = []
    after: list[Any] = []
    for name, value in values.items():
        if name in asked:
            continue
        if isinstance(value, dspy.Reasoning):
            before.append(ThinkingPart(value.content))
        elif isinstance(value, dspy.ToolCalls):
            for i, tool in enumerate(value.tool_calls):
                after.append(ToolCallPart(id=tool.id or f"call_{i}", name=tool.name, input=to_json(tool.args)))
    return before, after


def _without_adapter(call: MockCall, answer: Answer, maker_for: MakerFor) -> Reply:
    """The answer to a direct call: the value as text, an object as JSON, tools as parts."""
    answer = direct_answer(call, answer, maker_for)
    parts: list[Any] = [] if answer.reasoning is None else [ThinkingPart(answer.reasoning)]
    parts += [
        ToolCallPart(id=tool.get("id", f"call_{i}"), name=tool["name"], input=to_json(dict(tool.get("args", {}))))
        for i, tool in enumerate(answer.tool_calls or ())
    ]
    if answer.is_open and answer.tool_calls is not None:
        return _of_parts(call, parts, {}, "")
    given = answer.fields if answer.fields is not None else answer.value
    if answer.is_open:
        schema = (call.request.config.response_format or {}).get("schema")
        maker = maker_for(call)
        given = maker.value(str, "response") if schema is None else maker.schema(schema, "response")
    text = given if isinstance(given, str) else json.dumps(to_json(given), ensure_ascii=False)
    return _of_parts(call, [*parts, TextPart(text)], {"text": text}, text)
