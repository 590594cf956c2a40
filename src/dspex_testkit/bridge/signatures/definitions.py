"""The parts of a signature definition, whatever shape it arrived in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dspex_testkit.limits import json_kind

DEFAULT_NAME = "DynamicSignature"
_INSTRUCTIONS = ("instructions", "docstring", "description", "desc")
"""Most telling first: DSPex fills `description` with a sentence of its own where the author gave none."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a definition says, before its fields are looked at."""

    name: str = DEFAULT_NAME
    instructions: str = ""
    inputs: object = None
    outputs: object = None
    problem: str | None = None
    """Why the definition cannot be used, where that is clear already."""
    dynamic: bool = True
    """False in the wire form of a signature that is `question -> answer` by choice."""
    stand_in_outputs: tuple[str, ...] | None = None
    """Present in the wire form of a signature that stands in for an unusable one."""


def outline(definition: object) -> Outline:
    """The parts of a definition: a map, or a text such as `question, context: list[str] -> answer`."""
    if isinstance(definition, str):
        return _from_text(definition)
    if isinstance(definition, Mapping):
        return _from_map(definition)
    if definition == []:  # Elixir's empty keyword list
        return Outline(problem="it is empty")
    return Outline(problem=f"it is {json_kind(definition)}, not a map or a text")


def _from_map(definition: Mapping[str, Any]) -> Outline:
    name = definition.get("name")
    instructions = next((text for key in _INSTRUCTIONS if isinstance(text := definition.get(key), str) and text), "")
    stand_in = definition.get("stand_in_outputs")
    return Outline(
        name=name if isinstance(name, str) and name.strip() else DEFAULT_NAME,
        instructions=instructions,
        inputs=definition.get("inputs"),
        outputs=definition.get("outputs"),
        problem=None if definition else "it is empty",
        dynamic=definition.get("use_dynamic_signature") is not False,
        stand_in_outputs=tuple(map(str, stand_in)) if isinstance(stand_in, list) else None,
    )


def _from_text(text: str) -> Outline:
    sides = _split(text, "->")
    if len(sides) != 2:
        return Outline(problem="it is empty" if not text.strip() else f"{text[:80]!r} is not of the form 'a, b -> c'")
    inputs, outputs = ([_field(part) for part in _split(side, ",")] for side in sides)
    return Outline(inputs=inputs, outputs=outputs)


def _field(text: str) -> dict[str, str]:
    name, colon, type_ = text.partition(":")
    return {"name": name.strip(), "type": type_.strip()} if colon else {"name": name.strip()}


def _split(text: str, separator: str) -> list[str]:
    """The text cut at separators that stand outside of brackets and quotes."""
    parts: list[str] = []
    start = depth = position = 0
    quote = ""
    while position < len(text):
        character = text[position]
        if quote:
            position += 1 if character == "\\" else 0
            quote = "" if character == quote else quote
        elif depth <= 0 and text.startswith(separator, position):
            parts.append(text[start:position])
            start = position = position + len(separator)
            continue
        elif character in "\"'" and depth > 0:
            quote = character
        else:
            depth += (character in "[<") - (character in "]>")
        position += 1
    return [*parts, text[start:]]
