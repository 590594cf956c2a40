"""Reads a type from JSON: a spelling, a list of alternatives, or a map in the manner of JSON Schema."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dspex_testkit.bridge.signatures.constraints import CHOICE_KEYS, constrain, limited_by
from dspex_testkit.bridge.signatures.type_grammar import parse_spelling
from dspex_testkit.bridge.signatures.type_names import NAMES, unknown_type
from dspex_testkit.bridge.signatures.types import (
    ANY,
    NULL,
    STRING,
    Kind,
    Member,
    TypeExpr,
    dict_of,
    enum_of,
    list_of,
    union_of,
)
from dspex_testkit.errors import UnknownTypeError
from dspex_testkit.limits import NESTING, json_kind

_BASES: dict[type, Kind] = {str: "string", int: "integer", float: "float", bool: "boolean"}


def parse_type(raw: object) -> TypeExpr:
    """The type that a JSON value describes.

    Raises:
        UnknownTypeError: It describes none, or one that is too large.
    """
    return _parse(raw, [], 0).check_size()


def parse_described(form: Mapping[str, Any], notes: list[str]) -> TypeExpr | None:
    """The type of a field, from the keys beside its name; None where nothing says which.

    Args:
        form: `type` with `items`, `fields`/`properties`, `enum`/`one_of`, `of`, `constraints`, `optional`, …
        notes: Receives what had to be left out.

    Raises:
        UnknownTypeError: The type is unknown or too large.
    """
    expr = _described(form, notes, 0)
    return expr.check_size() if expr else None


def _parse(raw: object, notes: list[str], depth: int) -> TypeExpr:
    if isinstance(raw, str):
        return parse_spelling(raw)
    if isinstance(raw, Mapping):
        return _described(raw, notes, depth + 1) or ANY
    if isinstance(raw, Sequence):
        return union_of(_parse(part, notes, depth + 1) for part in raw)
    raise UnknownTypeError(f"a type is a text, a map or a list of alternatives, not {json_kind(raw)}")


def _described(form: Mapping[str, Any], notes: list[str], depth: int) -> TypeExpr | None:
    if depth > NESTING:
        raise UnknownTypeError(f"a type is described in at most {NESTING} levels")
    constraints = form.get("constraints")
    limits = {**form, **constraints} if isinstance(constraints, Mapping) else form
    expr = _base(form, notes, depth)
    choices = _choices(limits)
    if choices is not None:
        expr = _restrict(expr, enum_of(choices), notes)
    if expr is not None:
        expr = constrain(expr, limits, notes)
    elif limited_by(limits):
        notes.append(f"constraints {', '.join(limited_by(limits))} need a type to narrow and are left out")
    if form.get("optional") is True or form.get("required") is False or form.get("nullable") is True:
        expr = union_of([expr or STRING, NULL])
    return expr


def _base(form: Mapping[str, Any], notes: list[str], depth: int) -> TypeExpr | None:
    raw = form.get("type")
    kind = raw.strip().lower() if isinstance(raw, str) else None
    fields = _first(form, "fields", "properties")
    if fields is not None and (kind in (None, "object", "map", "dict")):
        return _object(fields, form.get("required"), notes, depth)
    items = form.get("items")
    if items is not None and kind in (None, "list", "array"):
        return list_of(_parse(items, notes, depth + 1))
    alternatives = _first(form, "of", "anyOf", "any_of", "oneOf")
    if isinstance(alternatives, list) and kind in (None, "union"):
        return _parse(alternatives, notes, depth)
    values = _first(form, "values", "additionalProperties")
    if isinstance(values, str | Mapping) and kind in ("object", "map", "dict"):
        return dict_of(_parse(form.get("keys") or "string", notes, depth + 1), _parse(values, notes, depth + 1))
    if kind in ("enum", "literal"):
        choices = _choices(form) or form.get("values")
        if not isinstance(choices, list):
            raise unknown_type(kind)
        return enum_of(choices)
    return None if raw is None else _parse(raw, notes, depth)


def _object(fields: object, required: object, notes: list[str], depth: int) -> TypeExpr:
    if isinstance(fields, Mapping):
        parts = [(name, {"type": part} if isinstance(part, str) else part) for name, part in fields.items()]
    elif isinstance(fields, Sequence) and not isinstance(fields, str):
        parts = [(part.get("name"), part) if isinstance(part, Mapping) else (part, {}) for part in fields]
    else:
        raise UnknownTypeError("the fields of an object are a list or a map")
    members: dict[str, Member] = {}
    for name, part in parts:
        if not isinstance(name, str) or not name.strip() or not isinstance(part, Mapping | None):
            raise UnknownTypeError(f"each field of an object has a name and a type; came {name!r}")
        part = part or {}
        expr = _described(part, notes, depth + 1) or STRING
        if isinstance(required, list) and name not in required:
            expr = union_of([expr, NULL])
        description = _first(part, "description", "desc")
        members[name] = Member(name, expr, description if isinstance(description, str) else "")
    return TypeExpr("object", members=tuple(members.values())) if members else NAMES["object"]


def _restrict(expr: TypeExpr | None, choices: TypeExpr, notes: list[str]) -> TypeExpr:
    """The type with a closed set of values; on a list, of its items."""
    if expr is None or expr.kind in ("any", "enum", "date", "datetime", "decimal"):
        return choices
    if expr.kind == "list":
        return replace(expr, args=(_restrict(expr.args[0], choices, notes),))
    if expr.kind == "union" and NULL in expr.args:
        return union_of([choices, NULL])
    if expr.args or expr.members:
        notes.append(f"choices do not fit {expr.spelling} and are left out")
        return expr
    if expr.kind not in {_BASES.get(type(choice), "null") for choice in choices.choices}:
        notes.append(f"{choices.spelling} has no {expr.kind}; the choices decide")
    return choices


def _choices(form: Mapping[str, Any]) -> list[object] | None:
    found = _first(form, *CHOICE_KEYS)
    return found if isinstance(found, list) else None


def _first(form: Mapping[str, Any], *keys: str) -> Any:
    return next((form[key] for key in keys if form.get(key) is not None), None)
