"""Cohere's chat, second version."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dspex_testkit.wires.base import Wire, json_text, sse, sse_events
from dspex_testkit.wires.canonical import request_of
from dspex_testkit.wires.chat_form import Chat, Thinking, schema_format
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause, Piece, ToolCall, in_words, pieces
from dspex_testkit.wires.failures import Failure
from dspex_testkit.wires.fields import model_of, object_of
from dspex_testkit.wires.logprobs import tokens

MESSAGES = {
    "context_length": "too many tokens: the number of tokens in the prompt cannot exceed 128000 - received 200000.",
    "not_found": "model '{model}' not found, make sure the correct model ID was used and that you have access to it.",
}
FINISH = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_call": "TOOL_CALL",
    "content_filter": "ERROR",
    "error": "ERROR",
}


class CohereChat(Wire):
    """`POST …/v2/chat`."""

    provider = "cohere"
    messages = MESSAGES

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = model_of(body)
        return Ask(
            provider=self.provider,
            model=model,
            request=request_of(read_cohere(body), model, wanted="messages"),
            stream=body.get("stream") is True,
            top_logprobs=0 if body.get("logprobs") else None,
        )

    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choice = answered.choices[0]
        contents = [{"type": kind, kind: text} for kind, text, _ in _contents(choice)]
        message: dict[str, Any] = {"role": "assistant", "content": contents}
        if choice.tool_calls:
            message["tool_calls"] = [_tool_call(call) for call in choice.tool_calls]
        body: dict[str, Any] = {
            "id": answered.id(""),
            "finish_reason": _finish(choice),
            "message": message,
            "usage": usage(answered),
        }
        if ask.top_logprobs is not None:
            body["logprobs"] = [_logprob(token) for token in tokens(choice, 0)]
        return body

    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""
        yield from sse_events(_events(ask, answered))
        yield sse("[DONE]")

    def error(self, failure: Failure, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        return cohere_error(failure)


def read_cohere(body: Mapping[str, Any]) -> Chat:
    """What a body says: messages and tools as OpenAI has them, parameters under other names."""
    choice, kind = body.get("tool_choice"), object_of(body, "thinking").get("type")
    form = {
        "messages": body.get("messages"),
        "tools": body.get("tools"),
        "max_tokens": body.get("max_tokens"),
        "temperature": body.get("temperature"),
        "top_p": body.get("p"),
        "top_k": body.get("k") or None,
        "seed": body.get("seed"),
        "stop": body.get("stop_sequences"),
        "response_format": _response_format(body.get("response_format")),
        "tool_choice": None if choice is None else str(choice).lower(),
    }
    return Chat(form, thinking=Thinking(0 if kind == "disabled" else None, kind == "enabled"))


def cohere_error(failure: Failure) -> dict[str, Any]:
    """The body of a refusal, in either version."""
    message = failure.message if failure.code is None else f"{failure.message} [{failure.code}]"
    return {"id": "sim", "message": message}


def usage(answered: Answered) -> dict[str, Any]:
    """Tokens as Cohere counts and bills them."""
    counted = {"input_tokens": answered.input_tokens, "output_tokens": answered.output_tokens}
    return {"billed_units": counted, "tokens": dict(counted), "cached_tokens": answered.cached_tokens}


def _response_format(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, Mapping) or given.get("type") != "json_object":
        return None
    schema = given.get("json_schema") or given.get("schema")
    return {"type": "json_object"} if schema is None else schema_format(schema)


def _finish(choice: Choice) -> str:
    return "STOP_SEQUENCE" if choice.stop_sequence is not None else FINISH[choice.finish]


def _contents(choice: Choice) -> list[tuple[str, str, Sequence[Piece]]]:
    """The contents of a message: kind, text, and the pieces in which it is streamed."""
    contents: list[tuple[str, str, Sequence[Piece]]] = []
    if choice.reasoning is not None:
        contents.append(("thinking", choice.reasoning, choice.thoughts))
    if choice.refusal is not None:
        contents.append(("text", choice.refusal, in_words(choice.refusal)))
    elif choice.words or not choice.tool_calls:
        contents.append(("text", choice.text, choice.words))
    return contents


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json_text(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _logprob(token: Any) -> dict[str, Any]:
    return {"text": token.text, "token_ids": [len(token.text)], "logprobs": [token.logprob]}


def _events(ask: Ask, answered: Answered) -> Iterator[dict[str, Any] | Pause]:
    choice = answered.choices[0]
    opened = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield {"type": "message-start", "id": answered.id(""), "delta": {"message": opened}}
    contents = _contents(choice)
    for index, (kind, _, words) in enumerate(contents):
        yield _content_event("content-start", index, {"type": kind, kind: ""})
        for word in words:
            yield from word.before
            event = _content_event("content-delta", index, {kind: word.text})
            if ask.top_logprobs is not None and kind == "text":
                event["logprobs"] = _logprob(next(tokens(word, 0)))
            yield event
        yield {"type": "content-end", "index": index}
    for index, call in enumerate(choice.tool_calls, len(contents)):
        yield from call.before
        started = {**_tool_call(call), "function": {"name": call.name, "arguments": ""}}
        yield {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": started}}}
        for piece in pieces(json_text(call.arguments)):
            part = {"function": {"arguments": piece}}
            yield {"type": "tool-call-delta", "index": index, "delta": {"message": {"tool_calls": part}}}
        yield {"type": "tool-call-end", "index": index}
    ended = {"finish_reason": _finish(choice), "usage": usage(answered)}
    yield {"type": "message-end", "id": answered.id(""), "delta": ended}


def _content_event(kind: str, index: int, content: Mapping[str, str]) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": {"content": content}}}
