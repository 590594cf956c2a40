"""From a decided answer to the parts of a response, with the values that the journal keeps."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.lm15 import CitationPart, Message, Response, TextPart, ThinkingPart, ToolCallPart
from dspy.lm15 import Usage as WireUsage

from dspex_testkit.calls import Usage
from dspex_testkit.mock_lm.answers import NOTHING, Answer
from dspex_testkit.mock_lm.completing import MakerFor, complete
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.rendering import render
from dspex_testkit.mock_lm.usage import estimate_usage
from dspex_testkit.mock_lm.values import to_json


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: the response's parts and what they mean."""

    parts: tuple[Any, ...]
    outputs: Mapping[str, Any]
    """Values per output field."""
    text: str
    finish_reason: str
    usage: Usage

    def response(self, model: str) -> Response:
        """The reply as DSPy expects it from an engine."""
        usage = self.usage
        return Response(
            id=None,
            model=model,
            message=Message(role="assistant", parts=self.parts),
            finish_reason=self.finish_reason,
            usage=WireUsage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                reasoning_tokens=usage.reasoning_tokens,
                cache_read_tokens=usage.cached_tokens,
            ),
        )


def reply_to(call: MockCall, answer: Answer, maker_for: MakerFor) -> Reply:
    """Complete, type and render an answer.

    Raises:
        AnswerError: The answer does not fit the signature, or the adapter cannot carry it.
    """
    if call.capture is None:
        text = _free_text(answer, call, maker_for)
        return _reply(call, [TextPart(text)], {"text": text}, text)
    values = complete(answer, call, maker_for)
    asked = call.signature.output_fields
    if len(asked) == len(values):
        text = render(call.capture, values)
        return _reply(call, [TextPart(text)], values, text)
    before, after = _native_parts(values, asked)
    text = render(call.capture, {name: values[name] for name in asked}) if asked else ""
    return _reply(call, [*before, *([TextPart(text)] if asked else []), *after], values, text)


def _reply(call: MockCall, parts: list[Any], outputs: Mapping[str, Any], text: str) -> Reply:
    finish, output_chars, reasoning_chars = "stop", len(text), None
    for part in parts:
        if isinstance(part, ToolCallPart):
            finish = "tool_call"
            output_chars += len(part.name) + len(json.dumps(part.input))
        elif isinstance(part, ThinkingPart):
            reasoning_chars = (reasoning_chars or 0) + len(part.text)
    usage = estimate_usage(call.request, output_chars=output_chars, reasoning_chars=reasoning_chars)
    return Reply(parts=tuple(parts), outputs=outputs, text=text, finish_reason=finish, usage=usage)


def _native_parts(values: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """The fields that travel as parts of their own, before and after the text."""
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
        elif isinstance(value, dspy.Citations):
            after += [CitationPart(text=item.cited_text, title=item.document_title) for item in value]
    return before, after


def _free_text(answer: Answer, call: MockCall, maker_for: MakerFor) -> str:
    """The answer to a call without an adapter: the value as text, an object as JSON."""
    if answer.fields is not None:
        given: Any = dict(answer.fields)
    elif answer.value is not NOTHING:
        given = answer.value
    else:
        given = maker_for(call).value(str, "response")
    return given if isinstance(given, str) else json.dumps(to_json(given), ensure_ascii=False)
