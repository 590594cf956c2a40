"""The chat form that OpenAI began with: what every format's requests are written down in before anybody acts on them.

A reader gives a `Chat`: what the body says in that form, and the residue that the form, and so an LM call, has no place
for. Whoever must not lose anything refuses the residue; whoever only has to answer goes on without it. A reader says
what the body says: guesses at what a client had meant are not made here.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dspex_testkit.limits import json_kind
from dspex_testkit.wires.failures import refuse


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a body says of thinking beside an effort in words."""

    budget: int | None = None
    """Tokens; none of them is "do not think"."""
    shown: bool | None = None
    """Whether the thoughts are to be seen; None where the format has no word for it."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A request as its body says it."""

    form: Mapping[str, Any]
    """As OpenAI's chat completions have it, without the model."""
    residue: Sequence[str] = ()
    """What the form has no place for, each with its own place."""
    thinking: Thinking = Thinking()


class Residue(list[str]):
    """Collects what a chat form has no place for."""

    def leave(self, place: str, what: str) -> None:
        """Note something."""
        self.append(f"{place}: {what}")

    def unknown(self, block: Mapping[str, Any], names: Collection[str], place: str) -> None:
        """Note every key of an object that is not among those which are understood."""
        for name, value in block.items():
            if name not in names and value not in (None, [], {}):
                self.leave(f"{place}.{name}", "an LM call has no place for it")

    def wanted(self, block: Mapping[str, Any], name: str, place: str, instead: str) -> str:
        """What an object says under a name; where it says nothing, that is noted."""
        value = block.get(name)
        if value is None:
            self.leave(f"{place}.{name}", "it is missing")
            return instead
        return str(value)


Block = Callable[[Mapping[str, Any], str, Residue], dict[str, Any]]
"""Reads a provider's block, which stands in a place."""


def text(value: Any) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": "" if value is None else str(value)}


def media(kind: str, data: str) -> dict[str, Any]:
    """A block of inline data, by its media type."""
    if kind.startswith("image/"):
        return link(f"data:{kind};base64,{data}")
    if kind in ("audio/wav", "audio/mpeg", "audio/mp3"):
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav" if kind == "audio/wav" else "mp3"}}
    return {"type": "file", "file": {"file_data": f"data:{kind};base64,{data}"}}


def blocks(given: Any, place: str) -> list[Mapping[str, Any]]:
    """A provider's content, which is a text or a list of blocks, as blocks.

    Raises:
        Refused: It is neither.
    """
    if given is None:
        return []
    if not isinstance(given, str | list):
        raise refuse("invalid_request", f"{place}: a text or a list of blocks is wanted, {json_kind(given)} came.")
    given = [given] if isinstance(given, str) else given
    found = [text(block) if isinstance(block, str) else block for block in given]
    for block in found:
        if not isinstance(block, Mapping):
            raise refuse("invalid_request", f"{place}: a block is an object, {json_kind(block)} came.")
    return found


def blocks_of(given: Any, place: str, residue: Residue, read: Block) -> list[dict[str, Any]]:
    """A provider's content, its blocks read one by one, each with its place."""
    return [read(block, f"{place}[{index}]", residue) for index, block in enumerate(blocks(given, place))]


def link(url: str, detail: str | None = None) -> dict[str, Any]:
    """An image block."""
    return {"type": "image_url", "image_url": {"url": url} if detail is None else {"url": url, "detail": detail}}


def content(blocks: Sequence[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Blocks as a message has them: a lone text, or nothing, is a string."""
    if not blocks:
        return ""
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return str(blocks[0]["text"])
    return list(blocks)


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
    return {"role": "tool", "tool_call_id": str(call_id), "content": content(blocks)}


def tool(name: Any, description: Any, parameters: Any) -> dict[str, Any]:
    """A tool that may be called."""
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


def chosen(name: Any) -> dict[str, Any]:
    """The choice of one tool."""
    return {"type": "function", "function": {"name": name}}


def allowed(mode: Any, names: Sequence[Any]) -> dict[str, Any]:
    """The choice among some tools."""
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [chosen(name) for name in names]}}


def schema_format(schema: Any, name: Any = None, strict: Any = None) -> dict[str, Any]:
    """A response format that is a JSON Schema.

    Raises:
        Refused: The schema is none.
    """
    if not isinstance(schema, Mapping):
        raise refuse("invalid_request", f"The response schema is an object, not {json_kind(schema)}.")
    described = {"name": name, "schema": dict(schema), "strict": strict}
    return {"type": "json_schema", "json_schema": {key: value for key, value in described.items() if value is not None}}


def without_nothing(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters without those that were not given."""
    return {key: value for key, value in parameters.items() if value is not None and value != []}
