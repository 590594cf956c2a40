"""Values on their way into an answer: converted to a field's type, and turned into JSON for the journal."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from dspex_testkit.dspy_internals.adapter_text import parse_value, serialize_for_json

_PLAIN = (str, int, float, bool, type(None))


def fit(value: Any, annotation: Any) -> Any:
    """Convert a given value to the type of the field that it is an answer for.

    Text is read as the type (`"42"` for an int, JSON for lists and objects); a number may stand for text.

    Raises:
        ValueError: The value does not fit.
    """
    if annotation is str:
        if isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return str(value)
        raise ValueError(f"a text is wanted, not {type(value).__name__}")
    try:
        # Pydantic first: it keeps what is typed already and reads "42", "true", dates and decimals.
        return TypeAdapter(annotation).validate_python(value)
    except ValueError as error:
        if value is None:
            raise
        try:
            # Then as the adapters do: JSON in text, an enum by its name.
            return parse_value(value, annotation)
        except ValueError:
            raise error from None


def to_json(value: Any) -> Any:
    """The value as JSON-safe data."""
    return value if isinstance(value, _PLAIN) else serialize_for_json(value)


def to_parseable_json(value: Any) -> Any:
    """The value as JSON from which its type can be made again: models under their fields' aliases."""
    if isinstance(value, _PLAIN):
        return value
    try:
        return TypeAdapter(type(value)).dump_python(value, mode="json", by_alias=True, fallback=str)
    except ValueError:
        return serialize_for_json(value)


def to_json_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Each value as JSON-safe data."""
    return {name: value if isinstance(value, _PLAIN) else serialize_for_json(value) for name, value in values.items()}


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, no escapes."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=serialize_for_json)
    except TypeError:
        # Keys that are no texts, or of several types.
        return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
