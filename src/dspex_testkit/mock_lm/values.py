"""Values on their way into an answer: converted to a field's type, and to JSON from which it can be read again."""

from typing import Any

from pydantic import TypeAdapter

from dspex_testkit.dspy_internals.adapter_text import parse_value, serialize_for_json
from dspex_testkit.engines.values import PLAIN
from dspex_testkit.limits import json_kind


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
        raise ValueError(f"a text is wanted, not {json_kind(value)}")
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


def to_parseable_json(value: Any) -> Any:
    """The value as JSON from which its type can be made again: models under their fields' aliases."""
    if isinstance(value, PLAIN):
        return value
    try:
        return TypeAdapter(type(value)).dump_python(value, mode="json", by_alias=True, fallback=str)
    except ValueError:
        return serialize_for_json(value)
