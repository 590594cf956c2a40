"""Anthropic's messages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from dspy.lm15 import Reasoning

from dspex_testkit.limits import brief
from dspex_testkit.wires.base import Wire, json_text, sse_events
from dspex_testkit.wires.conversation import (
    Conversation,
    choice_of,
    config_of,
    function_tool,
    model_of,
    object_of,
    objects,
    schema_format,
    text_of,
    tool_call,
    whole_number,
)
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause, Piece, in_words
from dspex_testkit.wires.failures import Failure, refuse

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_call": "tool_use",
    "content_filter": "refusal",
    "error": "end_turn",
}
_TYPES = {
    "auth": "authentication_error",
    "billing": "billing_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "server_error": "api_error",
    "unavailable": "api_error",
}


class Anthropic(Wire):
    """`POST …/messages`."""

    provider = "anthropic"
    statuses = MappingProxyType({"overloaded": 529})
    messages = MappingProxyType(
        {
            "context_length": "prompt is too long: 200000 tokens > 199999 maximum",
            "not_found": "model: {model}",
            "overloaded": "Overloaded",
        }
    )

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = model_of(body)
        conversation = Conversation()
        conversation.system(text_of(body.get("system"), "system"))
        for index, message in enumerate(objects(body, "messages", required=True)):
            _read_message(message, conversation, f"messages[{index}]")
        if body.get("max_tokens") is None:
            raise refuse("invalid_request", "max_tokens: Field required")
        tools = tuple(
            function_tool(tool.get("name"), tool.get("description"), tool.get("input_schema"))
            for tool in objects(body, "tools")
            if tool.get("type") in (None, "custom")
        )
        config = config_of(
            max_tokens=whole_number(body, "max_tokens", 1, most=10**7),
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            top_k=body.get("top_k"),
            stop=body.get("stop_sequences"),
            response_format=_output_format(body),
            tool_choice=_tool_choice(body.get("tool_choice")),
            reasoning=_thinking(body),
        )
        request = conversation.request(model, tools, config, wanted="messages")
        return Ask(provider=self.provider, model=model, request=request, stream=body.get("stream") is True)

    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choice = answered.choices[0]
        reason, sequence = _stop(choice)
        message = _message(ask, answered)
        blocks = [block for block, _ in _blocks(choice, answered)]
        message.update(content=blocks, stop_reason=reason, stop_sequence=sequence)
        message["usage"]["output_tokens"] = answered.output_tokens
        return message

    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""
        yield from sse_events(_events(ask, answered))

    def error(self, failure: Failure, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        kind = _TYPES.get(failure.kind, "invalid_request_error")
        message = failure.message if failure.code is None else f"{failure.message} [{failure.code}]"
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_simulated"}

    def rate_headers(self, limits: Mapping[str, str]) -> dict[str, str]:
        """How the provider reports its rate limits."""
        # `limit-requests` is spelled `requests-limit` here.
        return {f"anthropic-ratelimit-{'-'.join(reversed(name.split('-')))}": value for name, value in limits.items()}


def _read_message(message: Mapping[str, Any], conversation: Conversation, where: str) -> None:
    role, content = message.get("role"), message.get("content")
    blocks = content if isinstance(content, list) else []
    rest = [block for block in blocks if block.get("type") not in ("tool_use", "tool_result", "thinking")]
    text = text_of(rest if blocks else content, f"{where}.content")
    if role == "assistant":
        uses = [block for block in blocks if block.get("type") == "tool_use"]
        conversation.assistant(text, [tool_call(use.get("id"), use.get("name"), use.get("input")) for use in uses])
    elif role == "user":
        results = [block for block in blocks if block.get("type") == "tool_result"]
        for result in results:
            conversation.tool_result(str(result.get("tool_use_id") or "call"), text_of(result.get("content"), where))
        if text or not results:
            conversation.user(text)
    elif role == "system":
        conversation.system(text)
    else:
        raise refuse("invalid_request", f'{where}.role: Input should be "user" or "assistant", not {brief(role)}.')


def _tool_choice(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return None
    return choice_of({"any": "required"}.get(given.get("type", ""), str(given.get("type"))), given.get("name"))


def _output_format(body: Mapping[str, Any]) -> dict[str, Any] | None:
    given = object_of(body, "output_config").get("format") or body.get("output_format")
    return schema_format(given.get("schema")) if isinstance(given, Mapping) else None


def _thinking(body: Mapping[str, Any]) -> Reasoning | None:
    thinking = object_of(body, "thinking")
    if thinking.get("type") in ("enabled", "adaptive"):
        return Reasoning("medium")
    return Reasoning("off") if thinking.get("type") == "disabled" else None


def _stop(choice: Choice) -> tuple[str, str | None]:
    if choice.stop_sequence is not None:
        return "stop_sequence", choice.stop_sequence
    return _STOP_REASONS[choice.finish], None


def _message(ask: Ask, answered: Answered) -> dict[str, Any]:
    return {
        "id": answered.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": _fresh_tokens(answered),
            "cache_creation_input_tokens": answered.usage.cache_write_tokens or 0,
            "cache_read_input_tokens": answered.cached_tokens,
            "output_tokens": 1,
            "service_tier": "standard",
        },
    }


def _fresh_tokens(answered: Answered) -> int:
    """Tokens of the prompt as this provider counts them: without those of its cache."""
    return max(0, answered.input_tokens - answered.cached_tokens - (answered.usage.cache_write_tokens or 0))


def _blocks(choice: Choice, answered: Answered) -> Iterator[tuple[dict[str, Any], Sequence[Piece]]]:
    """The blocks of an answer, each with the pieces in which it is streamed."""
    if choice.reasoning is not None:
        thinking = {"type": "thinking", "thinking": choice.reasoning, "signature": answered.id("sig_")}
        yield thinking, choice.thoughts
    if choice.refusal is not None:
        yield _text_block(choice.refusal), in_words(choice.refusal)
    elif choice.words or not choice.tool_calls:
        yield _text_block(choice.text), choice.words
    for call in choice.tool_calls:
        use = {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        first, *rest = in_words(json_text(call.arguments))
        yield use, [replace(first, before=call.before), *rest]


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None}


def _events(ask: Ask, answered: Answered) -> Iterator[dict[str, Any] | Pause]:
    choice = answered.choices[0]
    yield {"type": "message_start", "message": _message(ask, answered)}
    yield {"type": "ping"}
    for index, (block, pieces) in enumerate(_blocks(choice, answered)):
        yield from _block_events(index, block, pieces)
    reason, sequence = _stop(choice)
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": sequence},
        # Clients that keep only the last usage would lose the prompt's tokens.
        "usage": {"input_tokens": _fresh_tokens(answered), "output_tokens": answered.output_tokens},
    }
    yield {"type": "message_stop"}


# How a block begins, and what a piece of it is called.
_OPENED: Mapping[str, dict[str, Any]] = {
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
    "tool_use": {"input": {}},
}
_DELTAS = {
    "thinking": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
}


def _block_events(index: int, block: dict[str, Any], pieces: Sequence[Piece]) -> Iterator[dict[str, Any] | Pause]:
    kind, name = _DELTAS[block["type"]]
    yield {"type": "content_block_start", "index": index, "content_block": {**block, **_OPENED[block["type"]]}}
    for piece in pieces:
        yield from piece.before
        yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: piece.text}}
    if block["type"] == "thinking":
        signed = {"type": "signature_delta", "signature": block["signature"]}
        yield {"type": "content_block_delta", "index": index, "delta": signed}
    yield {"type": "content_block_stop", "index": index}
