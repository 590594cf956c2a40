"""Ollama's own chat and generate; it speaks OpenAI's chat completions as well."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from dspex_testkit.wires import chat_form
from dspex_testkit.wires.base import JSON_LINES, Wire, json_line
from dspex_testkit.wires.canonical import request_of
from dspex_testkit.wires.chat_form import Chat, Thinking, schema_format
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause
from dspex_testkit.wires.failures import Failure, refuse
from dspex_testkit.wires.fields import model_of, object_of, objects

_NANOSECONDS = 1_000_000


class OllamaChat(Wire):
    """`POST …/api/chat`."""

    provider = "ollama"
    stream_type = JSON_LINES

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = model_of(body)
        messages = [_read_message(each) for each in objects(body, "messages", required=True)]
        chat = Chat({"messages": messages, **_parameters(body)}, thinking=_thinking(body))
        return Ask(
            provider=self.provider,
            model=model,
            request=request_of(chat, model, wanted="messages"),
            stream=body.get("stream", True) is True,
        )

    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choice = answered.choices[0]
        message: dict[str, Any] = {"role": "assistant", "content": choice.text}
        if choice.reasoning is not None:
            message["thinking"] = choice.reasoning
        if choice.tool_calls:
            message["tool_calls"] = _tool_calls(choice)
        return {**_head(ask, answered), "message": message, **_tail(answered)}

    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""
        choice, head = answered.choices[0], _head(ask, answered)
        for word in choice.thoughts:
            yield from word.before
            yield _line(head, {"role": "assistant", "content": "", "thinking": word.text})
        for word in choice.words:
            yield from word.before
            yield _line(head, {"role": "assistant", "content": word.text})
        if choice.tool_calls:
            yield from choice.tool_calls[0].before
            yield _line(head, {"role": "assistant", "content": "", "tool_calls": _tool_calls(choice)})
        yield json_line({**head, "message": {"role": "assistant", "content": ""}, **_tail(answered)})

    def error(self, failure: Failure, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        return {"error": failure.message if failure.code is None else f"{failure.message} [{failure.code}]"}


class OllamaGenerate(OllamaChat):
    """`POST …/api/generate`."""

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = model_of(body)
        system = [{"role": "system", "content": str(body["system"])}] if body.get("system") else []
        if not isinstance(body.get("prompt"), str):
            raise refuse("invalid_request", "prompt: a text is wanted.")
        messages = [*system, {"role": "user", "content": body["prompt"]}]
        chat = Chat({**_parameters(body), "messages": messages, "tools": None}, thinking=_thinking(body))
        return Ask(
            provider=self.provider,
            model=model,
            request=request_of(chat, model, wanted="prompt"),
            stream=body.get("stream", True) is True,
        )

    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choice = answered.choices[0]
        thinking = {} if choice.reasoning is None else {"thinking": choice.reasoning}
        return {**_head(ask, answered), "response": choice.text, **thinking, **_tail(answered), "context": []}

    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""
        choice, head = answered.choices[0], _head(ask, answered)
        for word in choice.thoughts:
            yield from word.before
            yield json_line({**head, "response": "", "thinking": word.text, "done": False})
        for word in choice.words:
            yield from word.before
            yield json_line({**head, "response": word.text, "done": False})
        yield json_line({**head, "response": "", **_tail(answered), "context": []})


def _read_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message in chat form: pictures stand beside the text here, and calls have no ids but their tools' names."""
    if message.get("role") == "tool":
        return {**message, "tool_call_id": f"call_{message.get('tool_name') or message.get('name')}"}
    images = message.get("images")
    if message.get("role") != "user" or not isinstance(images, list):
        return dict(message)
    said = chat_form.blocks(message.get("content") or None, "content")
    return {**message, "content": [*said, *(chat_form.link(str(image)) for image in images)]}


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    options, wanted = object_of(body, "options"), body.get("format")
    limit = options.get("num_predict")
    return {
        "tools": body.get("tools"),
        # -1 and -2 mean "without limit" here.
        "max_tokens": limit if isinstance(limit, int) and limit > 0 else None,
        "temperature": options.get("temperature"),
        "top_p": options.get("top_p"),
        "top_k": options.get("top_k"),
        "seed": options.get("seed"),
        "stop": options.get("stop"),
        "response_format": {"type": "json_object"} if wanted == "json" else schema_format(wanted) if wanted else None,
    }


def _thinking(body: Mapping[str, Any]) -> Thinking:
    return Thinking(shown=bool(body.get("think")))


def _tool_calls(choice: Choice) -> list[dict[str, Any]]:
    return [{"function": {"name": call.name, "arguments": dict(call.arguments)}} for call in choice.tool_calls]


def _head(ask: Ask, answered: Answered) -> dict[str, Any]:
    created = datetime.fromtimestamp(answered.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"model": ask.model, "created_at": created}


def _line(head: Mapping[str, Any], message: Mapping[str, Any]) -> bytes:
    return json_line({**head, "message": message, "done": False})


def _tail(answered: Answered) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": "length" if answered.choices[0].finish == "length" else "stop",
        "total_duration": 3 * _NANOSECONDS,
        "load_duration": _NANOSECONDS,
        "prompt_eval_count": answered.input_tokens,
        "prompt_eval_duration": _NANOSECONDS,
        "eval_count": answered.output_tokens,
        "eval_duration": _NANOSECONDS,
    }
