"""Cohere's chat, first version: the one whose streams litellm can read."""

from collections.abc import Iterator, Mapping
from typing import Any

from dspex_testkit.wires import chat_form
from dspex_testkit.wires.base import JSON_LINES, Wire, json_line, json_text
from dspex_testkit.wires.canonical import request_of
from dspex_testkit.wires.chat_form import Chat
from dspex_testkit.wires.cohere import FINISH, MESSAGES, cohere_error, usage
from dspex_testkit.wires.exchange import Answered, Ask, Pause
from dspex_testkit.wires.failures import Failure, refuse
from dspex_testkit.wires.fields import object_of, objects

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}


class CohereChatV1(Wire):
    """`POST …/v1/chat`."""

    provider = "cohere"
    messages = MESSAGES
    stream_type = JSON_LINES

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = str(body.get("model") or "command")
        return Ask(
            provider=self.provider,
            model=model,
            request=request_of(read_cohere_v1(body), model, wanted="message"),
            stream=body.get("stream") is True,
        )

    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choice = answered.choices[0]
        return {
            "response_id": answered.id("response-"),
            "generation_id": answered.id("generation-"),
            "text": choice.text,
            "chat_history": [],
            "finish_reason": FINISH[choice.finish],
            "tool_calls": [{"name": call.name, "parameters": dict(call.arguments)} for call in choice.tool_calls],
            "meta": {"api_version": {"version": "1"}, **usage(answered)},
        }

    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""
        generation = answered.id("generation-")
        yield json_line({"is_finished": False, "event_type": "stream-start", "generation_id": generation})
        choice = answered.choices[0]
        for word in choice.words:
            yield from word.before
            yield json_line({"is_finished": False, "event_type": "text-generation", "text": word.text})
        whole = self.write(ask, answered)
        if choice.tool_calls:
            yield from choice.tool_calls[0].before
            calls = {"event_type": "tool-calls-generation", "tool_calls": whole["tool_calls"]}
            yield json_line({"is_finished": False, **calls})
        ended = {"event_type": "stream-end", "finish_reason": whole["finish_reason"], "response": whole}
        yield json_line({"is_finished": True, **ended})

    def error(self, failure: Failure, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        return cohere_error(failure)


def read_cohere_v1(body: Mapping[str, Any]) -> Chat:
    """What a body says.

    Raises:
        Refused: It cannot be understood.
    """
    form = {
        "messages": list(_messages(body)),
        "tools": [
            chat_form.tool(tool.get("name"), tool.get("description"), _parameters(tool))
            for tool in objects(body, "tools")
        ],
        "max_tokens": body.get("max_tokens"),
        "temperature": body.get("temperature"),
        "seed": body.get("seed"),
        "stop": body.get("stop_sequences"),
    }
    return Chat(form)


def _messages(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if body.get("preamble"):
        yield {"role": "system", "content": str(body["preamble"])}
    for entry in objects(body, "chat_history"):
        role = {"SYSTEM": "system", "CHATBOT": "assistant"}.get(str(entry.get("role")).upper(), "user")
        yield {"role": role, "content": str(entry.get("message") or "")}
    for result in objects(body, "tool_results"):
        name, returned = object_of(result, "call").get("name"), json_text(result.get("outputs"))
        yield chat_form.result(f"call_{name}", [chat_form.text(returned)])
    message = body.get("message")
    if not isinstance(message, str):
        raise refuse("invalid_request", "message: a text is wanted.")
    if message:
        yield {"role": "user", "content": message}


def _parameters(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The tool's parameters as JSON Schema; Cohere names Python types."""
    definitions = object_of(tool, "parameter_definitions")
    return {
        "type": "object",
        "properties": {
            name: {"type": _TYPES.get(str(described.get("type")), "string")}
            for name, described in definitions.items()
            if isinstance(described, Mapping)
        },
    }
