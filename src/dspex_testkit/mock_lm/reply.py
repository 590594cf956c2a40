"""From a decided answer to the parts of a response, with the values that the journal keeps."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import dspy
from dspy.lm15 import FunctionTool, Message, Request, Response, TextPart, ThinkingPart, ToolCallPart
from dspy.lm15 import Usage as WireUsage

from dspex_testkit.calls import Usage
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.signature_shape import shape_of
from dspex_testkit.mock_lm.agents import check_tool, tool_schema
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.completing import GetMaker, MakerFor, complete
from dspex_testkit.mock_lm.direct import direct_answer
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.rendering import UnreadableError, render
from dspex_testkit.mock_lm.typed_values import ValueMaker
from dspex_testkit.mock_lm.usage import CHARS_PER_TOKEN, count_tokens, estimate_usage
from dspex_testkit.mock_lm.values import secrets_within, to_input

_NO_SECRETS: Final[frozenset[str]] = frozenset()


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
    secrets: frozenset[str] = frozenset()
    """Values that no journal is to show."""

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
    """Complete, type and render an answer, and count it: each once, unless an adapter cannot read what was made up.

    Raises:
        AnswerError: The answer does not fit the signature, or the adapter cannot carry it.
    """
    reply = _compose(call, answer, maker_for)
    reply = heed_limits(reply, call.request)
    if answer.usage is not None:
        reply = replace(reply, usage=replace(reply.usage, **answer.usage))
    if answer.finish_reason is not None:
        reply = replace(reply, finish_reason=answer.finish_reason)
    cost = answer.cost
    if cost is None:
        cost = price(reply.usage)
    return reply if cost is None else replace(reply, cost=cost)


def heed_limits(reply: Reply, request: Request) -> Reply:
    """The reply with `stop` and `max_tokens` obeyed, as a provider obeys them in what it writes."""
    config, text, finish = request.config, reply.text, reply.finish_reason
    if config.max_tokens is None and not config.stop:
        return reply
    places = [place for stop in config.stop or () if (place := text.find(stop)) >= 0]
    if places:
        text = text[: min(places)]
    if config.max_tokens is not None and len(text) > config.max_tokens * CHARS_PER_TOKEN:
        text, finish = text[: config.max_tokens * CHARS_PER_TOKEN], "length"
    if text == reply.text:
        return reply
    parts = tuple(TextPart(text) if isinstance(part, TextPart) else part for part in reply.message.parts)
    saved = count_tokens(len(reply.text)) - count_tokens(len(text))
    usage = replace(reply.usage, output_tokens=max(0, (reply.usage.output_tokens or 0) - saved))
    return replace(reply, message=Message("assistant", parts), text=text, finish_reason=finish, usage=usage)


_ATTEMPTS = 8
"""How often what was made up is made again where an adapter cannot read it."""


class _MakerOfCall:
    """The maker of values for one call, which counts as one whatever has to be made again."""

    def __init__(self, call: MockCall, maker_for: MakerFor) -> None:
        self._call = call
        self._maker_for = maker_for
        self._maker: ValueMaker | None = None

    def __call__(self) -> ValueMaker:
        if self._maker is None:
            self._maker = self._maker_for(self._call)
        return self._maker

    def again(self) -> None:
        """Have other values made from here on."""
        self._maker = self().again()


def _compose(call: MockCall, answer: Answer, maker_for: MakerFor) -> Reply:
    if answer.completion is not None:
        before = [] if answer.reasoning is None else [ThinkingPart(answer.reasoning)]
        return _of_parts(call, [*before, TextPart(answer.completion)], {}, answer.completion)
    get_maker = _MakerOfCall(call, maker_for)
    if call.capture is None:
        return _without_adapter(call, answer, get_maker)
    for _ in range(_ATTEMPTS - 1):
        try:
            return _through_adapter(call, answer, get_maker, call.capture)
        except UnreadableError:
            get_maker.again()
    return _through_adapter(call, answer, get_maker, call.capture)


def _through_adapter(call: MockCall, answer: Answer, get_maker: _MakerOfCall, capture: Capture) -> Reply:
    completed = complete(answer, call, get_maker)
    asked = shape_of(call.signature).outputs
    secrets = _NO_SECRETS if completed.is_plain else frozenset(secrets_within(completed.values))
    if len(asked) == len(completed.values) and answer.reasoning is None:
        message, values = render(capture, completed)
        return _reply(call, message, values, message.parts[0].text, secrets)
    before, after = _native_parts(completed.values, asked)
    if answer.reasoning is not None and call.shape.reasoning is None:
        before.append(ThinkingPart(answer.reasoning))
    values, texts = completed.values, ()
    if asked:
        message, read = render(capture, completed.only(asked))
        values, texts = {**values, **read}, message.parts
    text = texts[0].text if texts else ""
    return _reply(call, Message("assistant", (*before, *texts, *after)), values, text, secrets)


def _of_parts(call: MockCall, parts: list[Any], outputs: Mapping[str, Any], text: str) -> Reply:
    return _reply(call, Message("assistant", tuple(parts)), outputs, text)


def _reply(
    call: MockCall, message: Message, outputs: Mapping[str, Any], text: str, secrets: frozenset[str] = _NO_SECRETS
) -> Reply:
    finish, output_chars, reasoning_chars = "stop", len(text), None
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            finish = "tool_call"
            output_chars += len(part.name) + len(json.dumps(part.input))
        elif isinstance(part, ThinkingPart):
            reasoning_chars = (reasoning_chars or 0) + len(part.text)
    usage = estimate_usage(call.request, output_chars=output_chars, reasoning_chars=reasoning_chars)
    return Reply(message, outputs, text, finish, usage, secrets=secrets)


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
                after.append(ToolCallPart(id=tool.id or f"call_{i}", name=tool.name, input=to_input(tool.args)))
    return before, after


def _without_adapter(call: MockCall, answer: Answer, get_maker: GetMaker) -> Reply:
    """The answer to a direct call: the value as text, an object as JSON, tools as parts."""
    answer = direct_answer(call, answer, get_maker)
    offered = {tool.name: tool_schema(tool) for tool in call.request.tools if isinstance(tool, FunctionTool)}
    for tool in answer.tool_calls or ():
        check_tool(tool["name"], tool.get("args", {}), offered, rule=answer.rule)
    parts: list[Any] = [] if answer.reasoning is None else [ThinkingPart(answer.reasoning)]
    parts += [
        ToolCallPart(id=tool.get("id", f"call_{i}"), name=tool["name"], input=to_input(dict(tool.get("args", {}))))
        for i, tool in enumerate(answer.tool_calls or ())
    ]
    if answer.is_open and answer.tool_calls is not None:
        return _of_parts(call, parts, {}, "")
    given = answer.fields if answer.fields is not None else answer.value
    if answer.is_open:
        schema = (call.request.config.response_format or {}).get("schema")
        maker = get_maker()
        given = maker.value(str, "response") if schema is None else maker.schema(schema, "response")
    text = given if isinstance(given, str) else json.dumps(to_input(given), ensure_ascii=False)
    return _of_parts(call, [*parts, TextPart(text)], {"text": text}, text)
