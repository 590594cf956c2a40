"""What narrows a type: bounds, lengths and patterns, under the many names that they arrive with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dspex_testkit.bridge.signatures.types import NUMBERS, SIZED, Kind, TypeExpr
from dspex_testkit.limits import LARGEST_COUNT, LONGEST_TEXT, MOST_ITEMS, PATTERN_LENGTH, brief, is_number

_BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")
_LENGTHS = ("min_length", "max_length")
_LARGEST = 2**63 - 1

_ALIASES: dict[str, str] = {
    **{name: name for name in (*_BOUNDS, *_LENGTHS, "min", "max", "pattern", "range", "length")},
    "gte": "ge",
    "lte": "le",
    "minimum": "min",
    "maximum": "max",
    "exclusive_minimum": "gt",
    "exclusive_maximum": "lt",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "min_items": "min_length",
    "max_items": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "regex": "pattern",
}
CHOICE_KEYS = ("enum", "one_of", "choices")
"""Keys under which a closed set of values arrives."""


def limited_by(given: Mapping[str, Any]) -> list[str]:
    """The keys that are constraints."""
    return [name for name in given if name in _ALIASES and given[name] is not None]


def constrain(expr: TypeExpr, given: Mapping[str, Any], notes: list[str]) -> TypeExpr:
    """The type narrowed by those constraints among `given` that it can obey.

    Keys that are no constraint are passed over in silence; a constraint that does not fit the type, or has an
    impossible value, is left out with a note.
    """
    wanted = {name: given[name] for name in limited_by(given)}
    if not wanted:
        return expr
    if expr.kind == "union":
        parts = tuple(constrain(arg, wanted, []) for arg in expr.args)
        if parts == expr.args:
            notes.append(f"constraints {', '.join(wanted)} fit no alternative of {expr.spelling}")
        return replace(expr, args=parts)
    found = dict(expr.constraints)
    for name, value in wanted.items():
        limits = _limits(expr.kind, _ALIASES[name], value)
        if limits:
            found.update(limits)
        else:
            notes.append(
                f"constraint {name} = {brief(value)} does not fit {expr.kind}{_most(expr.kind)}, and is left out"
            )
    return replace(expr, constraints=tuple(sorted(found.items())))


def _limits(kind: Kind, name: str, value: Any) -> dict[str, Any] | None:
    """Pydantic's names and values for one constraint; None where it does not fit."""
    if name in ("range", "length"):
        return _span(kind, name, value)
    if name in ("min", "max") and kind in SIZED:
        name = f"{name}_length"
    elif name in ("min", "max"):
        name = {"min": "ge", "max": "le"}[name]
    if name in _BOUNDS:
        fits = kind in NUMBERS and _is_number(value) and not (name == "multiple_of" and value <= 0)
    elif name in _LENGTHS:
        # A large maximum asks nobody for anything.
        most = LARGEST_COUNT if name == "max_length" else longest(kind)
        fits = kind in SIZED and type(value) is int and 0 <= value <= most
    else:
        fits = kind == "string" and isinstance(value, str) and _is_pattern(value)
    return {name: value} if fits else None


def longest(kind: Kind) -> int:
    """The largest length that a value of a type can be asked to have at least."""
    return LONGEST_TEXT if kind == "string" else MOST_ITEMS


def _most(kind: Kind) -> str:
    return f" (a length of at least {longest(kind)} at most)" if kind in SIZED else ""


def _span(kind: Kind, name: str, value: Any) -> dict[str, Any] | None:
    """Both ends at once: `[low, high]`, `{"min": low, "max": high}`, or one length."""
    if isinstance(value, Mapping):
        value = [value.get("min"), value.get("max")]
    elif name == "length" and type(value) is int:
        value = [value, value]
    if not isinstance(value, list) or len(value) != 2 or (name == "length") != (kind in SIZED):
        return None
    limits: dict[str, Any] = {}
    for end, bound in zip(("min", "max"), value, strict=True):
        if bound is not None:
            limit = _limits(kind, end, bound)
            if limit is None:
                return None
            limits |= limit
    return limits or None


def _is_number(value: object) -> bool:
    return is_number(value, -_LARGEST, _LARGEST)


def _is_pattern(value: str) -> bool:
    if len(value) > PATTERN_LENGTH:
        return False
    # Pydantic's engine runs in linear time, so that a hostile pattern cannot hang the bridge.
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        SchemaValidator(core_schema.str_schema(pattern=value))
    except SchemaError:
        return False
    return True
