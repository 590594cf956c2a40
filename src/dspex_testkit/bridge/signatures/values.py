"""Any Python value as a JSON value: what leaves the bridge is always strict JSON, whatever a program returns."""

import base64
import dataclasses
import datetime
import json
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

from dspex_testkit.limits import NESTING

_MAX_DEPTH = NESTING - 10
"""Levels of a value; the reply around it has some of its own."""
_UNPRINTABLE = "<{} that cannot be shown>"


def to_json_value(value: object) -> Any:
    """The value in JSON's own types: dict with text keys, list, str, int, float, bool, None.

    Models, dataclasses, enums, sets, tuples, bytes (base64), dates (ISO 8601) and decimals (text, to keep their
    digits) have their usual form; non-finite numbers become null, lone surrogates U+FFFD, anything else its text.
    What contains itself, or is nested deeper than JSON readers like, is cut there with a text in its place.
    Integers keep all their digits. Never raises.
    """
    return _convert(value, ())


def clean_text(text: str) -> str:
    """The text, with lone surrogates (which UTF-8 cannot hold) replaced."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _convert(value: Any, inside: tuple[int, ...]) -> Any:
    kind = type(value)
    if kind is str:
        return clean_text(value)
    if value is None or kind is bool or kind is int:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if id(value) in inside or len(inside) >= _MAX_DEPTH:
        return f"<{kind.__name__} inside itself>" if id(value) in inside else f"<{kind.__name__} nested too deeply>"
    inside = (*inside, id(value))
    if kind is list or kind is tuple:
        return [_convert(item, inside) for item in value]
    if kind is dict:
        return _object(value, inside)
    try:
        return _convert_special(value, inside)
    except Exception:  # a value's own code may raise anything, and the answer must still go out
        return _text(value)


def _convert_special(value: Any, inside: tuple[int, ...]) -> Any:
    match value:
        case Enum():
            return _convert(value.value, inside)
        case str():
            return clean_text(str.__str__(value))
        case int():
            return int(value)
        case float():
            return _convert(float(value), inside)
        case Decimal():
            return str(value) if value.is_finite() else None
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode("ascii")
        case Mapping():
            return _object(value, inside)
        case set() | frozenset():
            # Sets have no order of their own, and equal answers should look equal.
            return sorted((_convert(item, inside) for item in value), key=_canonical)
        case list() | tuple():
            return [_convert(item, inside) for item in value]
    if isinstance(value, type):
        return _text(value)
    if dataclasses.is_dataclass(value):
        return {field.name: _convert(getattr(value, field.name), inside) for field in dataclasses.fields(value)}
    if hasattr(kind := type(value), "model_fields"):
        return _model(value, kind.model_fields, inside)
    for method in ("toDict", "tolist"):  # dspy.Prediction and dspy.Example; numpy
        export = getattr(value, method, None)
        if callable(export):
            return _convert(export(), inside)
    if isinstance(value, Iterable) and hasattr(value, "__len__"):
        return [_convert(item, inside) for item in value]
    return _text(value)


def _model(value: Any, fields: Mapping[str, Any], inside: tuple[int, ...]) -> Any:
    dumped = value.model_dump(by_alias=True)
    if isinstance(dumped, str) and "root" not in fields:
        # Types such as dspy.Image write themselves as marked text for prompts; a client wants what is in them.
        dumped = {name: getattr(value, name) for name in fields}
    return _convert(dumped, inside)


def _object(value: Mapping[Any, Any], inside: tuple[int, ...]) -> dict[str, Any]:
    return {_key(key): _convert(item, inside) for key, item in value.items()}


def _key(key: Any) -> str:
    if type(key) is str:
        return clean_text(key)
    plain = to_json_value(key)
    return plain if isinstance(plain, str) else _canonical(plain)


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _text(value: object) -> str:
    try:
        return clean_text(str(value))
    except Exception:  # as above: a value's own code
        return _UNPRINTABLE.format(type(value).__name__)
