"""Faults that happen: errors as a real provider causes them, and answers that arrive spoilt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dspy
from dspy import lm15
from dspy.lm15 import Message, TextPart, ToolCallPart

from dspex_testkit.calls import Counters
from dspex_testkit.engines.values import to_json
from dspex_testkit.mock_lm.fault_spec import FaultSpec
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.reply import Reply
from dspex_testkit.mock_lm.typed_values import number_source

_REFUSAL = "I'm sorry, but I can't help with that request."
_ERRORS: dict[str, tuple[Any, int | None, str]] = {
    "rate_limit": (lm15.RateLimitError, 429, "Rate limit reached"),
    "timeout": (lm15.TimeoutError, 408, "Request timed out"),
    "server_error": (lm15.ServerError, 500, "The server had an error while processing the request"),
    "overloaded": (lm15.ServerError, 529, "Overloaded"),
    "auth": (lm15.AuthError, 401, "Incorrect API key provided"),
    "billing": (lm15.BillingError, 402, "You exceeded your current quota"),
    "context_length": (lm15.ContextLengthError, 400, "The prompt exceeds the model's context window"),
    "invalid_request": (lm15.InvalidRequestError, 400, "Invalid request"),
    "unsupported_model": (lm15.UnsupportedModelError, 404, "The model does not exist"),
    "permission": (lm15.AuthError, 403, "You have no permission to use this"),
    "too_large": (lm15.InvalidRequestError, 413, "The request is too large"),
    "unprocessable": (lm15.InvalidRequestError, 422, "The request was well formed and cannot be processed"),
    "unavailable": (lm15.ServerError, 503, "The service is temporarily unavailable"),
    "connection": (lm15.TransportError, None, "Connection reset by peer"),
    "dropped_stream": (lm15.TransportError, None, "Connection closed before the answer was complete"),
}


class FaultSchedule:
    """Which call goes wrong, and how.

    Args:
        specs: The faults; the first that strikes a call is the one that happens.
        counters: Count the calls.
    """

    def __init__(self, specs: Sequence[FaultSpec], counters: Counters) -> None:
        self._specs = specs
        self._counters = counters

    def strike(self, call: MockCall) -> FaultSpec | None:
        """The fault of this call, if it has one; every schedule counts the call."""
        struck = [spec for i, spec in enumerate(self._specs) if self._strikes(spec, i, call)]
        return struck[0] if struck else None

    def _strikes(self, spec: FaultSpec, index: int, call: MockCall) -> bool:
        if spec.session not in (None, call.session_id) or spec.program not in (None, call.program_id):
            return False
        number = self._counters.next_index(f"fault:{index}") + 1
        if spec.calls is not None:
            return number in spec.calls
        if spec.every is not None:
            return number % spec.every == 0
        if spec.rate is not None:
            share: float = number_source(str(spec.seed), str(index))(str(number)) / 2**64
            return share < spec.rate
        return True


def error_of(fault: FaultSpec, call: MockCall) -> Exception | None:
    """The error that takes the place of the answer; None for a fault that spoils it instead."""
    if fault.kind not in _ERRORS:
        return None
    kind, status, message = _ERRORS[fault.kind]
    error: Exception = kind(
        fault.message or message, provider=call.provider, status=status, retry_after=fault.retry_after
    )
    return error


def spoil(reply: Reply, fault: FaultSpec, call: MockCall) -> Reply:
    """The reply as the fault leaves it."""
    spoiler = _SPOILERS.get(fault.kind)
    return reply if spoiler is None else spoiler(reply, fault, call)


def _with_text(reply: Reply, text: str, *, finish_reason: str | None = None) -> Reply:
    kept = [part for part in reply.message.parts if not isinstance(part, TextPart | ToolCallPart)]
    finish = finish_reason or ("stop" if reply.finish_reason == "tool_call" else reply.finish_reason)
    message = Message("assistant", (*kept, TextPart(text)))
    return replace(reply, message=message, text=text, finish_reason=finish)


def _content_filter(reply: Reply, fault: FaultSpec, call: MockCall) -> Reply:
    return _with_text(reply, fault.message or "", finish_reason="content_filter")


def _refusal(reply: Reply, fault: FaultSpec, call: MockCall) -> Reply:
    return _with_text(reply, fault.message or _REFUSAL)


def _truncated(reply: Reply, fault: FaultSpec, call: MockCall) -> Reply:
    return _with_text(reply, reply.text[: len(reply.text) // 2], finish_reason="length")


def _malformed(reply: Reply, fault: FaultSpec, call: MockCall) -> Reply:
    return _with_text(reply, reply.text.translate(dict.fromkeys(map(ord, '[]{}<>#":'))))


def _empty(reply: Reply, fault: FaultSpec, call: MockCall) -> Reply:
    return _with_text(reply, "")


def _missing_field(reply: Reply, fault: FaultSpec, call: MockCall) -> Reply:
    if call.capture is None:
        return _empty(reply, fault, call)
    outputs = call.signature.output_fields
    name = fault.field if fault.field in outputs else next(reversed(outputs))
    signature = call.signature.delete(name)
    return _with_text(reply, _written(call, signature, reply.outputs))


def _wrong_type(reply: Reply, fault: FaultSpec, call: MockCall) -> Reply:
    """A field that is no text gets one; where all are texts one goes missing instead."""
    if call.capture is None:
        return _malformed(reply, fault, call)
    outputs = call.signature.output_fields
    typed = [name for name, info in outputs.items() if info.annotation not in (str, dspy.Reasoning)]
    name = fault.field if fault.field in outputs else next(iter(typed), None)
    if name is None:
        return _missing_field(reply, fault, call)
    signature = call.signature.with_updated_fields(name, type_=str)
    return _with_text(reply, _written(call, signature, {**reply.outputs, name: f"not a value of {name}"}))


def _broken_tool_call(reply: Reply, fault: FaultSpec, call: MockCall) -> Reply:
    if any(isinstance(part, ToolCallPart) for part in reply.message.parts):
        parts = tuple(
            replace(part, name="no_such_tool", input={}) if isinstance(part, ToolCallPart) else part
            for part in reply.message.parts
        )
        return replace(reply, message=Message("assistant", parts))
    if call.capture is None:
        return reply
    field = call.shape.tool_calls or ("next_tool_name" if "next_tool_name" in call.shape.outputs else None)
    return reply if field is None else _wrong_type(reply, fault.model_copy(update={"field": field}), call)


def _written(call: MockCall, signature: Any, values: Mapping[str, Any]) -> str:
    carried = {name: to_json(values[name]) for name in signature.output_fields if name in values}
    text: str = call.adapter.format_assistant_message_content(signature, carried)
    return text


_SPOILERS: dict[str, Callable[[Reply, FaultSpec, MockCall], Reply]] = {
    "content_filter": _content_filter,
    "refusal": _refusal,
    "truncated": _truncated,
    "malformed": _malformed,
    "missing_field": _missing_field,
    "wrong_type": _wrong_type,
    "empty": _empty,
    "broken_tool_call": _broken_tool_call,
}
