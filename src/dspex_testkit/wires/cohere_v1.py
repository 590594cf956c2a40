"""Cohere's chat, first version: the one whose streams litellm can read."""

from collections.abc import Iterator, Mapping
from typing import Any

from dspex_testkit.wires.base import JSON_LINES, Wire, json_line
from dspex_testkit.wires.cohere import FINISH, MESSAGES, cohere_error, usage
from dspex_testkit.wires.conversation import Conversation, config_of, function_tool, object_of, objects
from dspex_testkit.wires.exchange import Answered, Ask, Pause
from dspex_testkit.wires.failures import Failure, refuse

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}


class CohereChatV1(Wire):
    """`POST …/v1/chat`."""

    provider = "cohere"
    messages = MESSAGES
    stream_type = JSON_LINES

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = str(body.get("model") or "command")
        conversation = Conversation()
        if body.get("preamble"):
            conversation.system(str(body["preamble"]))
        for entry in objects(body, "chat_history"):
            _read_entry(entry, conversation)
        for result in objects(body, "tool_results"):
            conversation.tool_result(f"call_{(result.get('call') or {}).get('name')}", str(result.get("outputs")))
        message = body.get("message")
        if not isinstance(message, str):
            raise refuse("invalid_request", "message: a text is wanted.")
        if message:
            conversation.user(message)
        tools = tuple(
            function_tool(tool.get("name"), tool.get("description"), _parameters(tool))
            for tool in objects(body, "tools")
        )
        config = config_of(
            max_tokens=body.get("max_tokens"),
            temperature=body.get("temperature"),
            seed=body.get("seed"),
            stop=body.get("stop_sequences"),
        )
        return Ask(
            provider=self.provider,
            model=model,
            request=conversation.request(model, tools, config, wanted="message"),
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


def _read_entry(entry: Mapping[str, Any], conversation: Conversation) -> None:
    role, text = str(entry.get("role")).upper(), str(entry.get("message") or "")
    if role == "SYSTEM":
        conversation.system(text)
    elif role == "CHATBOT":
        conversation.assistant(text, [])
    else:
        conversation.user(text)


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
