"""The types a field can have, as values of our own.

A client's spelling never reaches DSPy, which would import a module named like the type; it is parsed against this
closed list (`type_grammar` for texts, `type_json` for maps) and becomes a Python annotation in `annotations`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from dspex_testkit.errors import UnknownTypeError
from dspex_testkit.limits import TYPE_LEVELS, json_kind

Scalar = str | int | float | bool | None
Kind = Literal[
    "string",
    "integer",
    "float",
    "boolean",
    "any",
    "null",
    "date",
    "datetime",
    "decimal",
    "probability",
    "confidence_score",
    "embedding",
    "reasoning_chain",
    "list",
    "dict",
    "union",
    "enum",
    "object",
]

NUMBERS: frozenset[Kind] = frozenset({"integer", "float", "decimal", "probability", "confidence_score"})
UNIT_INTERVAL: frozenset[Kind] = frozenset({"probability", "confidence_score"})
"""Floats between 0 and 1, both included."""
SIZED: frozenset[Kind] = frozenset({"string", "list", "dict", "embedding", "reasoning_chain"})
_KEYS: frozenset[Kind] = NUMBERS | {"string", "boolean", "any", "date", "datetime", "enum"}
"""What a key of a map may be."""

MAX_NODES = 256
MAX_CHOICES = 1000


@dataclass(frozen=True, slots=True)
class Member:
    """A named part of an object."""

    name: str
    type: "TypeExpr"
    description: str = ""


@dataclass(frozen=True, slots=True)
class TypeExpr:
    """One type. Texts and maps that mean the same become equal values."""

    kind: Kind
    args: "tuple[TypeExpr, ...]" = ()
    """Items of a list, keys and values of a dict, alternatives of a union."""
    choices: tuple[Scalar, ...] = ()
    """Values of an enum."""
    members: tuple[Member, ...] = ()
    """Parts of an object."""
    constraints: tuple[tuple[str, Any], ...] = ()
    """Sorted pairs, named as pydantic names them: ge gt le lt multiple_of min_length max_length pattern."""

    @property
    def nullable(self) -> bool:
        """Whether null is a value of this type."""
        return self.kind in ("any", "null") or (self.kind == "union" and any(arg.nullable for arg in self.args))

    @property
    def wire(self) -> str | dict[str, Any]:
        """The canonical JSON form; parsing it gives an equal value."""
        return self.spelling if self._has_spelling else self._described()

    @property
    def spelling(self) -> str:
        """The type as a text for people; `wire` where that says all."""
        match self.kind:
            case "list":
                text = f"list<{self.args[0].spelling}>"
            case "dict":
                text = f"dict<{self.args[0].spelling}, {self.args[1].spelling}>"
            case "union":
                text = f"union<{' | '.join(arg.spelling for arg in self.args)}>"
            case "enum":
                text = f"one of {', '.join(map(repr, self.choices[:20]))}{', …' if len(self.choices) > 20 else ''}"
            case "object":
                text = f"object with {', '.join(repr(member.name) for member in self.members)}"
            case _:
                text = self.kind
        limits = ", ".join(f"{name} {value}" for name, value in self.constraints)
        return f"{text} ({limits})" if limits else text

    @property
    def _has_spelling(self) -> bool:
        return (
            not self.constraints and self.kind not in ("enum", "object") and all(arg._has_spelling for arg in self.args)
        )

    def _described(self) -> dict[str, Any]:
        form: dict[str, Any] = {"type": self.kind}
        match self.kind:
            case "list":
                form["items"] = self.args[0].wire
            case "dict":
                form["keys"], form["values"] = (arg.wire for arg in self.args)
            case "union":
                form["of"] = [arg.wire for arg in self.args]
            case "enum":
                form["enum"] = list(self.choices)
            case "object":
                form["fields"] = [described_field(member) for member in self.members]
        if self.constraints:
            form["constraints"] = dict(self.constraints)
        return form

    def check_size(self) -> "TypeExpr":
        """The type itself, unless it is too large to be meant well.

        Raises:
            UnknownTypeError: It is nested too deeply or has too many parts.
        """
        level, nodes, depth = [self], 0, 0
        while level:
            depth, nodes = depth + 1, nodes + len(level)
            if depth > TYPE_LEVELS or nodes > MAX_NODES:
                raise UnknownTypeError(
                    f"a type may nest {TYPE_LEVELS} levels and have {MAX_NODES} parts, and this one goes beyond"
                )
            level = [part for expr in level for part in (*expr.args, *(member.type for member in expr.members))]
        return self


def described_field(member: Member) -> dict[str, Any]:
    """A named, typed part in its wire form; the keys of the type's own form stand beside the name."""
    form: dict[str, Any] = {"name": member.name}
    if member.description:
        form["description"] = member.description
    wire = member.type.wire
    return form | ({"type": wire} if isinstance(wire, str) else wire)


STRING, ANY, NULL = TypeExpr("string"), TypeExpr("any"), TypeExpr("null")


def list_of(items: TypeExpr) -> TypeExpr:
    """A list."""
    return TypeExpr("list", (items,))


def dict_of(keys: TypeExpr, values: TypeExpr) -> TypeExpr:
    """A map.

    Raises:
        UnknownTypeError: JSON has no such keys.
    """
    if keys.kind not in _KEYS:
        raise UnknownTypeError(f"the keys of a map are scalars, not {keys.spelling}")
    return TypeExpr("dict", (keys, values))


def union_of(alternatives: Iterable[TypeExpr]) -> TypeExpr:
    """A union, flat and without repetition; of one alternative, that alternative.

    Raises:
        UnknownTypeError: There are no alternatives.
    """
    flat: dict[str, TypeExpr] = {}
    for alternative in alternatives:
        for part in alternative.args if alternative.kind == "union" else (alternative,):
            # Keyed by repr because 1 == True would make two enums one.
            flat.setdefault(repr(part), part)
    if not flat:
        raise UnknownTypeError("a union needs alternatives, as in union<string | integer>")
    parts = tuple(flat.values())
    return parts[0] if len(parts) == 1 else TypeExpr("union", parts)


def enum_of(choices: Iterable[object]) -> TypeExpr:
    """A closed set of scalars.

    Raises:
        UnknownTypeError: There is none, there are too many, or one is not a scalar.
    """
    distinct: dict[str, Scalar] = {}
    for choice in choices:
        if not (choice is None or isinstance(choice, str | int | float)) or choice != choice:
            raise UnknownTypeError(f"choices are texts, numbers, booleans or null, not {json_kind(choice)}")
        distinct.setdefault(repr(choice), choice)
    if not 0 < len(distinct) <= MAX_CHOICES:
        raise UnknownTypeError(f"an enum has 1 to {MAX_CHOICES} choices, and this one has {len(distinct)}")
    return TypeExpr("enum", choices=tuple(distinct.values()))
