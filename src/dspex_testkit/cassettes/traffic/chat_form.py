"""The pieces of OpenAI's chat form, in which every provider's request is written down before DSPy reads it."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from dspex_testkit.errors import CassetteFormatError

NATIVE_BUDGETS = {1024: "minimal", 2048: "low", 8192: "medium", 16384: "high", 24576: "xhigh", 32768: "max"}
"""Tokens of thinking that DSPy's own client asks for, by effort."""
LITELLM_BUDGETS = {
    1: "minimal",
    128: "minimal",
    512: "minimal",
    1024: "low",
    2048: "medium",
    4096: "high",
    8192: "xhigh",
    16384: "max",
}
"""The same of litellm."""


def refuse(place: str, what: str) -> CassetteFormatError:
    """The error for something that no call of DSPy's says."""
    return CassetteFormatError(f"{place}: {what}")


def known(block: Mapping[str, Any], names: Collection[str], place: str) -> Mapping[str, Any]:
    """A block of which every key is understood.

    Raises:
        CassetteFormatError: One is not; leaving it out would change what was asked.
    """
    for name, value in block.items():
        if name not in names and value not in (None, [], {}):
            raise refuse(f"{place}.{name}", "an LM call has no place for it")
    return block


def text(value: Any) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": str(value)}


def media(kind: str, data: str) -> dict[str, Any]:
    """A block of inline data, by its media type."""
    if kind.startswith("image/"):
        return link(f"data:{kind};base64,{data}")
    if kind in ("audio/wav", "audio/mpeg", "audio/mp3"):
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav" if kind == "audio/wav" else "mp3"}}
    return {"type": "file", "file": {"file_data": f"data:{kind};base64,{data}"}}


def link(url: str, detail: str | None = None) -> dict[str, Any]:
    """An image block."""
    return {"type": "image_url", "image_url": {"url": url} if detail is None else {"url": url, "detail": detail}}


def content(blocks: Sequence[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Blocks as a message has them: a lone text is a string."""
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return str(blocks[0]["text"])
    return list(blocks)


def blocks_of(given: Any, place: str, read: Callable[[Mapping[str, Any], str], dict[str, Any]]) -> list[dict[str, Any]]:
    """A provider's content as blocks: one text, or blocks that are read one by one, each with its place."""
    if isinstance(given, str):
        return [text(given)]
    return [read(block, f"{place}[{index}]") for index, block in enumerate(given)]


def assistant(
    blocks: Sequence[dict[str, Any]], calls: Sequence[dict[str, Any]] = (), thoughts: Sequence[str] = ()
) -> dict[str, Any]:
    """What the model said, called and thought before."""
    message: dict[str, Any] = {"role": "assistant", "content": content(blocks) if blocks else None}
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = list(calls)
    return message


def call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    """A call of a tool; arguments as text or as data."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {"id": str(call_id), "type": "function", "function": {"name": str(name), "arguments": written}}


def result(call_id: Any, blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a tool returned."""
    return {"role": "tool", "tool_call_id": str(call_id), "content": content(blocks) if blocks else ""}


def tool(name: Any, description: Any, parameters: Any) -> dict[str, Any]:
    """A tool that may be called."""
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


def chosen(mode: str, name: Any = None) -> Any:
    """Which tool must be called."""
    return {"type": "function", "function": {"name": str(name)}} if name else mode


def schema_format(schema: Mapping[str, Any], name: Any = None, strict: Any = None) -> dict[str, Any]:
    """A response format that is a JSON Schema.

    Some providers keep neither its name nor whether it is strict. A schema made from a class carries the class's name
    as its title, and DSPy sends those strict.
    """
    if name is None and isinstance(schema.get("title"), str):
        name, strict = schema["title"], True
    described = {"name": name, "schema": dict(schema), "strict": strict}
    return {"type": "json_schema", "json_schema": {key: value for key, value in described.items() if value is not None}}


def effort(budget: Any, place: str, *, native: bool) -> str:
    """The effort that a client wrote as a number of tokens.

    Raises:
        CassetteFormatError: No effort is written so.
    """
    first, second = (NATIVE_BUDGETS, LITELLM_BUDGETS) if native else (LITELLM_BUDGETS, NATIVE_BUDGETS)
    found = "none" if budget == 0 else first.get(budget) or second.get(budget)
    if found is None:
        raise refuse(place, f"{budget!r} tokens of thinking are no reasoning_effort that DSPy knows")
    return found


def with_names(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose results name their tools, as DSPy's adapters write them; on the wire the call's id is enough."""
    names = {call["id"]: call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()}
    return [
        {**message, "name": names[message["tool_call_id"]]} if message.get("tool_call_id") in names else message
        for message in messages
    ]


def without_nothing(chat: Mapping[str, Any]) -> dict[str, Any]:
    """The form without parameters that were not given."""
    return {key: value for key, value in chat.items() if value is not None and value != []}
