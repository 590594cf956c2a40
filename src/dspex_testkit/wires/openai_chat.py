"""OpenAI's chat completions, which Groq, vLLM, Ollama, OpenRouter and many others speak too."""

from collections.abc import Iterator, Mapping
from typing import Any

from dspex_testkit.wires.base import Wire, json_text, sse
from dspex_testkit.wires.canonical import request_of
from dspex_testkit.wires.chat_form import Chat
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause, Piece, ToolCall, pieces
from dspex_testkit.wires.failures import Failure
from dspex_testkit.wires.fields import how_many, model_of, object_of, whole_number
from dspex_testkit.wires.logprobs import openai_logprob, tokens
from dspex_testkit.wires.openai_errors import MESSAGES, STATUSES, openai_error

_FINISH = {"tool_call": "tool_calls", "error": "stop"}


class OpenAIChat(Wire):
    """`POST …/chat/completions`."""

    provider = "openai"
    statuses = STATUSES
    messages = MESSAGES

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = model_of(body)
        return Ask(
            provider=self.provider,
            model=model,
            request=request_of(read_openai_chat(body), model, wanted="messages"),
            stream=body.get("stream") is True,
            n=whole_number(body, "n", 1, most=128),
            include_usage=object_of(body, "stream_options").get("include_usage") is True,
            top_logprobs=how_many(body, "top_logprobs") if body.get("logprobs") else None,
        )

    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        return {
            **_head(ask, answered, "chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": _message(choice),
                    "logprobs": _logprobs(ask, choice),
                    "finish_reason": _FINISH.get(choice.finish, choice.finish),
                }
                for index, choice in enumerate(answered.choices)
            ],
            "usage": _usage(answered),
        }

    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""
        head = _head(ask, answered, "chat.completion.chunk")
        if ask.include_usage:
            head["usage"] = None
        for index, choice in enumerate(answered.choices):
            for part in _parts(ask, choice):
                yield part if isinstance(part, Pause) else sse({**head, "choices": [{"index": index, **part}]})
        if ask.include_usage:
            yield sse({**head, "choices": [], "usage": _usage(answered)})
        yield sse("[DONE]")

    def error(self, failure: Failure, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        return openai_error(failure, status)


_NOT_ASKED = frozenset(
    {"model", "stream", "stream_options", "n", "user", "metadata", "safety_identifier", "prompt_cache_key"}
    | {"service_tier", "store"}
)
"""How it is sent, who asks, and how many answers are wanted: nothing that an LM call is told apart by."""


def read_openai_chat(body: Mapping[str, Any]) -> Chat:
    """What a body says; it is in chat form already, and what has no place there is for whoever acts on it to find."""
    form = {key: value for key, value in body.items() if key not in _NOT_ASKED and value is not None}
    return Chat(form)


def _head(ask: Ask, answered: Answered, kind: str) -> dict[str, Any]:
    return {
        "id": answered.id("chatcmpl-"),
        "object": kind,
        "created": answered.created,
        "model": ask.model,
        "system_fingerprint": "fp_simulated",
        "service_tier": "default",
    }


def _message(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.text if choice.text or not choice.tool_calls else None,
        "refusal": choice.refusal,
    }
    if choice.reasoning is not None:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in choice.tool_calls]
    return message


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json_text(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _parts(ask: Ask, choice: Choice) -> Iterator[dict[str, Any] | Pause]:
    yield _part({"role": "assistant", "content": ""})
    for word in choice.thoughts:
        yield from word.before
        yield _part({"reasoning_content": word.text})
    for word in choice.words:
        yield from word.before
        yield _part({"content": word.text}, _logprobs(ask, word))
    if choice.refusal is not None:
        yield _part({"refusal": choice.refusal})
    for index, call in enumerate(choice.tool_calls):
        yield from call.before
        opened = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield _part({"tool_calls": [{"index": index, **opened}]})
        for piece in pieces(json_text(call.arguments)):
            yield _part({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield {**_part({}), "finish_reason": _FINISH.get(choice.finish, choice.finish)}


def _part(delta: dict[str, Any], logprobs: Any = None) -> dict[str, Any]:
    return {"delta": delta, "logprobs": logprobs, "finish_reason": None}


def _logprobs(ask: Ask, said: Choice | Piece) -> dict[str, Any] | None:
    if ask.top_logprobs is None:
        return None
    return {"content": [openai_logprob(token) for token in tokens(said, ask.top_logprobs)], "refusal": None}


def _usage(answered: Answered) -> dict[str, Any]:
    return {
        "prompt_tokens": answered.input_tokens,
        "completion_tokens": answered.output_tokens,
        "total_tokens": answered.input_tokens + answered.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answered.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answered.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
