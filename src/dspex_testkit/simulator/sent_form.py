"""What of a request is the same whichever client sends it: the form in which HTTP requests are found in a cassette.

A cassette keeps canonical requests as DSPy made them. On the wire each client says the same in its own way: it joins
the instructions with the first message, renames tool calls, states a limit of tokens that nobody asked for, leaves out
what its provider does not know. So both sides are brought into the form below before they are compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dspex_testkit.cassettes.matching import MatchRules
from dspex_testkit.wires.media import media_mark, without_marks

PARAMS: Final = ("temperature",)
"""The parameters that count unless others are named: what every client passes on as it was given."""

_LITELLMS_TOOL: Final = "dummy_tool"
"""Offered to Anthropic where a conversation has calls of tools, and no tool is offered any more."""


class SentRules(MatchRules):
    """Match rules for requests that came over HTTP."""

    def comparable(self, request: dict[str, Any]) -> dict[str, Any]:
        """What counts of a canonical request, in the form in which it is compared."""
        return super().comparable(as_sent(request))


def as_sent(request: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical request, as JSON, without what depends on the client."""
    config = dict(request.get("config") or {})
    schema = (config.pop("response_format", None) or {}).get("schema")
    # That JSON is wanted says the prompt too; some clients send only a schema, and none all of its wrapping.
    if schema is not None:
        config["response_format"] = {"schema": schema}
    tools = [
        {name: tool[name] for name in ("name", "description", "parameters") if tool.get(name)}
        for tool in request.get("tools") or ()
        if tool.get("name") != _LITELLMS_TOOL
    ]
    # `provider/model` in a cassette, and whatever a client's prefix was; over HTTP there is none.
    prefix, slash, model = str(request["model"]).partition("/")
    return {"model": model if slash else prefix, "messages": _turns(request), "tools": tools, "config": config}


def _turns(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conversation, what one side says in a row as one message, instructions with what the user says."""
    turns: list[dict[str, Any]] = []
    said = [("user", part) for part in _parts(request.get("system"))]
    for message in request.get("messages") or ():
        role = "user" if message["role"] in ("system", "developer") else message["role"]
        said += [(role, part) for part in _parts(message.get("parts"))]
    for role, part in said:
        if not turns or turns[-1]["role"] != role:
            turns.append({"role": role, "parts": []})
        parts = turns[-1]["parts"]
        if part["type"] == "text" and parts and parts[-1]["type"] == "text":
            parts[-1]["text"] += "\n" + part["text"]
        else:
            parts.append(part)
    return [{**turn, "parts": [*_media_last(turn["parts"])]} for turn in turns]


def _media_last(parts: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The parts, and after them what some formats keep apart from the text."""
    marks: list[str] = []
    for part in parts:
        if part["type"] == "text":
            text, found = without_marks(part["text"])
            marks += found
            part = {**part, "text": text}
        yield part
    yield from ({"type": "media", "text": mark} for mark in marks)


def _parts(parts: Any) -> Iterator[dict[str, Any]]:
    if isinstance(parts, str):
        parts = [{"type": "text", "text": parts}]
    for part in parts or ():
        match part["type"]:
            case "text":
                yield {"type": "text", "text": part["text"]}
            case "tool_call":
                # Ids are the client's: some providers have none.
                yield {"type": "tool_call", "name": part["name"], "input": part["input"]}
            case "tool_result":
                text = "\n".join(item["text"] for item in _parts(part["content"]) if item["type"] == "text")
                yield {"type": "tool_result", "text": text}
            case "thinking" | "citation":
                # What a model thought before is handed back to some providers and not to others.
                continue
            case kind:
                yield {"type": "text", "text": media_mark(kind, part)}
