"""Python annotations for types: what DSPy's adapters and pydantic understand."""

import datetime
import decimal
from typing import Annotated, Any, Literal, Union

import annotated_types
import pydantic

from dspex_testkit.bridge.signatures.fieldnames import class_name, member_names
from dspex_testkit.bridge.signatures.types import NULL, UNIT_INTERVAL, Kind, Member, TypeExpr

_PLAIN: dict[Kind, Any] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "any": Any,
    "null": type(None),
    "date": datetime.date,
    "datetime": datetime.datetime,
    "decimal": decimal.Decimal,
    "probability": float,
    "confidence_score": float,
    "embedding": list[float],
    "reasoning_chain": list[str],
}
_METADATA: dict[str, Any] = {
    "ge": annotated_types.Ge,
    "gt": annotated_types.Gt,
    "le": annotated_types.Le,
    "lt": annotated_types.Lt,
    "multiple_of": annotated_types.MultipleOf,
    "min_length": annotated_types.MinLen,
    "max_length": annotated_types.MaxLen,
    "pattern": lambda pattern: pydantic.StringConstraints(pattern=pattern),
}


def annotate(expr: TypeExpr, name: str) -> Any:
    """The annotation of a type, constraints included.

    Args:
        expr: The type.
        name: What the type is for; classes of objects are called after it.
    """
    bare, limits = _bare(expr, name), limits_of(expr)
    return Annotated[(bare, *metadata_of(limits))] if limits else bare


def annotate_field(expr: TypeExpr, name: str) -> tuple[Any, dict[str, Any]]:
    """The annotation of a field, and its constraints as keyword arguments of `dspy.InputField`.

    There DSPy shows them to the LM in words; inside an annotation its adapters would look at `Annotated` instead of
    the type.
    """
    if expr.kind == "union" and NULL in expr.args and len(expr.args) == 2:
        (inner,) = (arg for arg in expr.args if arg != NULL)
        annotation, limits = annotate_field(inner, name)
        return annotation | None, limits
    return _bare(expr, name), limits_of(expr)


def metadata_of(limits: dict[str, Any]) -> tuple[Any, ...]:
    """Constraints as metadata of an annotation."""
    return tuple(_METADATA[key](value) for key, value in limits.items())


def limits_of(expr: TypeExpr) -> dict[str, Any]:
    """The constraints of a type, named as pydantic names them; those that its kind implies included."""
    implied = {"ge": 0, "le": 1} if expr.kind in UNIT_INTERVAL else {}
    return {**implied, **dict(expr.constraints)}


def _bare(expr: TypeExpr, name: str) -> Any:
    match expr.kind:
        case "list":
            return list[annotate(expr.args[0], name)]  # type: ignore[misc]  # made at run time
        case "dict":
            return dict[annotate(expr.args[0], name), annotate(expr.args[1], name)]  # type: ignore[misc]
        case "union":
            return Union[tuple(annotate(arg, name) for arg in expr.args)]  # noqa: UP007  # made at run time
        case "enum":
            return Literal[expr.choices]
        case "object":
            return _model(expr.members, name)
        case kind:
            return _PLAIN[kind]


def _model(members: tuple[Member, ...], name: str) -> type[pydantic.BaseModel]:
    fields: dict[str, Any] = {}
    for member, attribute in zip(members, member_names(member.name for member in members), strict=True):
        settings: dict[str, Any] = {"alias": member.name} if attribute != member.name else {}
        if member.description:
            settings["description"] = member.description
        if member.type.nullable:
            settings["default"] = None
        fields[attribute] = (annotate(member.type, f"{name}_{attribute}"), pydantic.Field(**settings))
    title = class_name("".join(word.capitalize() for word in name.split("_")), "Object")
    config = pydantic.ConfigDict(populate_by_name=True, serialize_by_alias=True, protected_namespaces=())
    return pydantic.create_model(title, __config__=config, **fields)
