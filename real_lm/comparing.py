"""Recordings as places and values, so that two of them can be compared place by place."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MAY_DIFFER = frozenset(
    {
        # When it was asked, how long each piece took, and what the server measured of itself.
        *("recorded_at", "elapsed_ms", "at_ms", "date", "created", "created_at", "completed_at", "timings"),
        # Which answer it is.
        *("id", "item_id", "request_id"),
    }
)
"""The fields by whose values two recordings on one machine may differ, at any depth, with all that is in them."""


def places(file: Path) -> dict[str, Any]:
    """Every value of a recording by its place; JSON and server-sent events in bodies are looked into."""
    loaded = yaml.safe_load(file.read_text("utf-8")) if file.suffix == ".yaml" else json.loads(file.read_text("utf-8"))
    return dict(_places(loaded, ""))


def unlike(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """The places at which two recordings differ, and may not."""
    return sorted(
        place
        for place in first.keys() | second.keys()
        if first.get(place, "(nothing)") != second.get(place, "(nothing)") and not may_differ(place)
    )


def structure(found: dict[str, Any]) -> dict[str, str]:
    """Which places there are and of which type; how long lists are says the LM, so their items count as one."""
    return {
        re.sub(r"\[\d+\]", "[]", place): type(value).__name__ for place, value in found.items() if not may_differ(place)
    }


def may_differ(place: str) -> bool:
    """Whether the value at a place is of the moment."""
    return not MAY_DIFFER.isdisjoint(re.split(r"[.\[\]]+", place))


def _places(value: Any, at: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, f"{at}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, f"{at}[{index}]")
    elif isinstance(value, str) and (inner := _inner(value)) is not None:
        yield from _places(inner, at)
    else:
        yield at, value


def _inner(text: str) -> Any:
    """What a text holds: a JSON object or list, or server-sent events."""
    if text.startswith(("data:", "event:")):
        lines = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("data:")]
        return [_inner(line) or line for line in lines]
    if text.startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError:
            return None
    return None
