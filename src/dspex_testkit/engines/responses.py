"""A call from the program's side: what was asked, and what the adapter in use reads from the response."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dspy
from dspy.lm15 import DataPart, Request, Response, TextPart, ThinkingPart

from dspex_testkit.calls import Usage
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.signature_shape import shape_of
from dspex_testkit.engines.values import to_json_mapping


def text_of(response: Response) -> str:
    """The answer's text, as adapters get it; what DSPy's client reads as data, because it answers a schema, is JSON."""
    return with_data_as_text(response).message.text or ""


def with_data_as_text(response: Response) -> Response:
    """The response with data as the text that it was when it came."""
    parts = response.message.parts
    if not any(isinstance(part, DataPart) for part in parts):
        return response
    texts = tuple(
        TextPart(json.dumps(part.value, ensure_ascii=False)) if isinstance(part, DataPart) else part for part in parts
    )
    return replace(response, message=replace(response.message, parts=texts))


def read_outputs(capture: Capture | None, response: Response) -> dict[str, Any] | None:
    """The values that the program will read, or None where its adapter cannot read them."""
    return read_text(capture, text_of(response))


def read_text(capture: Capture | None, text: str) -> dict[str, Any] | None:
    """The same of an answer's text."""
    if capture is None or capture.stage != "answer":
        return None
    adapter = capture.adapter
    try:
        # Unwrapped: the program's callbacks are not to hear of our own parsing.
        return dict(inspect.unwrap(type(adapter).parse)(adapter, capture.signature, text))
    except (dspy.AdapterParseError, ValueError, TypeError):
        return None


def outputs_of(capture: Capture | None, response: Response) -> dict[str, Any] | None:
    """The values that the program will read, as the journal keeps them, with those that travel as parts of their own.

    None where the adapter cannot read them. Without an adapter the text is all there is.
    """
    text = text_of(response)
    if capture is None:
        return {"text": text} if text or not response.tool_calls else {}
    if capture.signature is capture.full_signature:
        values = read_text(capture, text)
        return None if values is None else to_json_mapping(values)
    native = _native_values(capture, response)
    values = read_text(capture, text) if text or not native else {}
    return None if values is None else to_json_mapping({**values, **native})


def _native_values(capture: Capture, response: Response) -> dict[str, Any]:
    """Thoughts and calls of tools, where the signature has fields for them that its prompt leaves out."""
    found: dict[str, Any] = {}
    for name, info in capture.full_signature.output_fields.items():
        if name in capture.signature.output_fields:
            continue
        if info.annotation is dspy.Reasoning:
            thoughts = [part.text for part in response.message.parts if isinstance(part, ThinkingPart)]
            found[name] = dspy.Reasoning(content="\n".join(thoughts))
        elif info.annotation is dspy.ToolCalls:
            calls = [{"id": call.id, "name": call.name, "args": call.input} for call in response.tool_calls]
            found[name] = dspy.ToolCalls(tool_calls=calls)
    return found


def inputs_of(capture: Capture | None, request: Request | None) -> dict[str, Any]:
    """The inputs of a call, as the journal keeps them; empty where they are unknown."""
    return to_json_mapping(given_inputs(capture, request))


def given_inputs(capture: Capture | None, request: Request | None) -> dict[str, Any]:
    """What was asked: the program's inputs in the signature's order, or the last text where there is no program."""
    if capture is None:
        return {} if request is None else {"prompt": last_text(request)}
    given = capture.inputs
    return {name: given[name] for name in shape_of(capture.full_signature).inputs if name in given}


def last_text(request: Request) -> str:
    """The text of the last message that is one: a tool's results are no question."""
    return next((message.text for message in reversed(request.messages) if message.text), "")


def signature_of(capture: Capture | None) -> str | None:
    """The name of the signature that is being answered."""
    return None if capture is None else str(getattr(capture.full_signature, "__name__", "")) or None


def usage_of(provider: str, model: str, response: Response) -> Usage:
    """The tokens of a call, in one way of counting: the cached are part of the input, the reasoning of the output.

    Providers differ in that, and DSPy hands on what they say.
    """
    told = response.usage
    inputs, outputs = told.input_tokens, told.output_tokens
    if inputs is not None and (provider == "anthropic" or (provider == "vertex" and "claude" in model)):
        inputs += (told.cache_read_tokens or 0) + (told.cache_write_tokens or 0)
    elif outputs is not None and provider in ("google", "gemini", "vertex", "xai"):
        outputs += told.reasoning_tokens or 0
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        reasoning_tokens=told.reasoning_tokens,
        cached_tokens=told.cache_read_tokens,
        cache_write_tokens=told.cache_write_tokens,
    )


def as_json(outputs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Output values as the journal keeps them."""
    return None if outputs is None else dict(to_json_mapping(outputs))
