"""OpenAI's chat completions, which Groq, vLLM, Ollama, OpenRouter and many others speak too."""

from collections.abc import Iterator, Mapping
from typing import Any

from dspex_testkit.wires.base import Wire, json_text, sse
from dspex_testkit.wires.chat_messages import read_functions, read_messages
from dspex_testkit.wires.conversation import (
    choice_of,
    config_of,
    how_many,
    model_of,
    object_of,
    reasoning_of,
    schema_format,
    whole_number,
)
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause, Piece, ToolCall, pieces
from dspex_testkit.wires.failures import Failure, refuse
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
        conversation = read_messages(body)
        config = config_of(
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            seed=body.get("seed"),
            frequency_penalty=body.get("frequency_penalty"),
            presence_penalty=body.get("presence_penalty"),
            stop=body.get("stop"),
            response_format=_response_format(body.get("response_format")),
            tool_choice=_tool_choice(body.get("tool_choice")),
            reasoning=reasoning_of(body.get("reasoning_effort")),
        )
        return Ask(
            provider=self.provider,
            model=model,
            request=conversation.request(model, read_functions(body), config, wanted="messages"),
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


def _tool_choice(given: Any) -> Any:
    if given is None:
        return None
    if isinstance(given, Mapping):
        return choice_of("required", object_of(given, "function").get("name"))
    return choice_of(str(given))


def _response_format(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, Mapping) or given.get("type") in (None, "text"):
        return None
    if given.get("type") == "json_object":
        return {"type": "json_object"}
    described = given.get("json_schema")
    if not isinstance(described, Mapping):
        raise refuse("invalid_request", "response_format.json_schema: an object is wanted.")
    return schema_format(described.get("schema"), described.get("name"))


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
