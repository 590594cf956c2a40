"""Anthropic's messages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from dspex_testkit.limits import brief
from dspex_testkit.wires import chat_form
from dspex_testkit.wires.base import Wire, json_text, sse_events
from dspex_testkit.wires.canonical import request_of
from dspex_testkit.wires.chat_form import Chat, Residue, Thinking
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause, Piece, in_words
from dspex_testkit.wires.failures import Failure, refuse
from dspex_testkit.wires.fields import model_of, object_of, objects, whole_number

_PASSED_ON = ("temperature", "top_p", "top_k")
_UNDERSTOOD = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "stop_sequences", "max_tokens", "thinking", "stream"}
    | {"metadata", "service_tier", "output_config", "output_format", "cache_control"}
)
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
        if body.get("max_tokens") is None:
            raise refuse("invalid_request", "max_tokens: Field required")
        whole_number(body, "max_tokens", 1, most=10**7)
        request = request_of(read_anthropic(body), model, wanted="messages")
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


def read_anthropic(body: Mapping[str, Any]) -> Chat:
    """What a body says.

    Raises:
        Refused: It cannot be understood.
    """
    residue = Residue()
    residue.unknown(body, {*_PASSED_ON, *_UNDERSTOOD}, "body")
    given = objects(body, "messages", required=True)
    messages = [message for i, turn in enumerate(given) for message in _messages(turn, f"messages[{i}]", residue)]
    system = chat_form.blocks_of(body.get("system") or None, "system", residue, _block)
    if system:
        messages.insert(0, {"role": "system", "content": chat_form.content(system)})
    choice, output = object_of(body, "tool_choice"), object_of(body, "output_config")
    schema = object_of(output, "format") or object_of(body, "output_format")
    parameters = {
        "max_tokens": body.get("max_tokens"),
        "stop": body.get("stop_sequences"),
        "tools": list(_tools(body, residue)),
        "tool_choice": chat_form.chosen(choice.get("name")) if choice.get("type") == "tool" else _choice(choice),
        "parallel_tool_calls": False if choice.get("disable_parallel_tool_use") else None,
        "response_format": chat_form.schema_format(schema.get("schema")) if schema else None,
        "reasoning_effort": output.get("effort"),
        **{name: body[name] for name in _PASSED_ON if name in body},
    }
    thinking = _thinking(object_of(body, "thinking"), residue)
    return Chat({"messages": messages, **chat_form.without_nothing(parameters)}, residue, thinking)


def _messages(turn: Mapping[str, Any], place: str, residue: Residue) -> Iterator[dict[str, Any]]:
    """A turn as messages: results of tools travel among what the user says, and are messages of their own here."""
    said, calls, thoughts, results = [], [], [], []
    for index, block in enumerate(chat_form.blocks(turn.get("content"), f"{place}.content")):
        where, kind = f"{place}.content[{index}]", block.get("type")
        if kind == "tool_result":
            residue.unknown(block, ("type", "tool_use_id", "content", "cache_control"), where)
            returned = chat_form.blocks_of(block.get("content"), f"{where}.content", residue, _block)
            results.append(chat_form.result(residue.wanted(block, "tool_use_id", where, "call"), returned))
        elif kind == "tool_use":
            call_id = residue.wanted(block, "id", where, f"call_{block.get('name')}")
            calls.append(chat_form.call(call_id, block.get("name"), block.get("input")))
        elif kind == "thinking":
            thoughts.append(residue.wanted(block, "thinking", where, ""))
        else:
            said.append(_block(block, where, residue))
    yield from results
    role = turn.get("role")
    if role == "assistant":
        yield chat_form.assistant(said, calls, thoughts)
    elif role not in ("user", "system"):
        raise refuse("invalid_request", f'{place}.role: Input should be "user" or "assistant", not {brief(role)}.')
    elif said or not results:
        yield {"role": role, "content": chat_form.content(said)}


def _block(block: Mapping[str, Any], place: str, residue: Residue) -> dict[str, Any]:
    kind = block.get("type", "text")
    if kind == "text":
        residue.unknown(block, ("type", "text", "cache_control", "citations"), place)
        return chat_form.text(block.get("text"))
    source = object_of(block, "source")
    match kind, source.get("type"):
        case (("image" | "document"), "base64") if "media_type" in source and "data" in source:
            return chat_form.media(str(source["media_type"]), str(source["data"]))
        case "image", "url" if "url" in source:
            return chat_form.link(str(source["url"]))
        case "document", "file" if "file_id" in source:
            return {"type": "file", "file": {"file_id": source["file_id"]}}
    came = f"{brief(kind)} ({source.get('type') or 'no source'})"
    residue.leave(place, f"an LM call has no place for a block of type {came}")
    return dict(block)


def _tools(body: Mapping[str, Any], residue: Residue) -> Iterator[dict[str, Any]]:
    for index, tool in enumerate(objects(body, "tools")):
        if tool.get("type") in (None, "custom"):
            yield chat_form.tool(tool.get("name"), tool.get("description"), tool.get("input_schema"))
        else:
            what = f"a tool of type {brief(tool['type'])} runs at the provider; only functions are asked for"
            residue.leave(f"tools[{index}]", what)


def _choice(given: Mapping[str, Any]) -> str | None:
    return {"auto": "auto", "any": "required", "none": "none"}.get(str(given.get("type")))


def _thinking(given: Mapping[str, Any], residue: Residue) -> Thinking:
    kind = given.get("type")
    if kind == "enabled" and "budget_tokens" not in given:
        residue.leave("thinking.budget_tokens", "it is missing")
    return Thinking(0 if kind == "disabled" else given.get("budget_tokens"), kind in ("enabled", "adaptive"))


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
