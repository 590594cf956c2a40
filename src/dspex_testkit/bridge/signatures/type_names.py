"""The closed list of names that a type can have on the wire."""

from dspex_testkit.bridge.signatures.types import ANY, NULL, STRING, TypeExpr, dict_of, list_of
from dspex_testkit.errors import UnknownTypeError
from dspex_testkit.nearest import nearest

NAMES: dict[str, TypeExpr] = {
    "str": STRING,
    "string": STRING,
    "text": STRING,
    "atom": STRING,
    "int": TypeExpr("integer"),
    "integer": TypeExpr("integer"),
    "float": TypeExpr("float"),
    "number": TypeExpr("float"),
    "bool": TypeExpr("boolean"),
    "boolean": TypeExpr("boolean"),
    "any": ANY,
    "null": NULL,
    "nil": NULL,
    "none": NULL,
    "list": list_of(ANY),
    "array": list_of(ANY),
    "dict": dict_of(STRING, ANY),
    "map": dict_of(STRING, ANY),
    "object": dict_of(STRING, ANY),
    "embedding": TypeExpr("embedding"),
    "reasoning_chain": TypeExpr("reasoning_chain"),
    "probability": TypeExpr("probability"),
    "confidence_score": TypeExpr("confidence_score"),
    "date": TypeExpr("date"),
    "datetime": TypeExpr("datetime"),
    "decimal": TypeExpr("decimal"),
}
"""Types without parameters, in lower case."""

GENERICS = ("list", "array", "dict", "map", "object", "union", "optional", "literal", "enum")


def unknown_type(spelling: str) -> UnknownTypeError:
    """The error for a spelling that is on no list, with its nearest neighbours."""
    shown = spelling if len(spelling) <= 60 else f"{spelling[:59]}…"
    if spelling.lower() in GENERICS:
        return UnknownTypeError(f"{spelling!r} needs parameters, as in {spelling}<…>", details={"spelling": shown})
    near = nearest(spelling, sorted({*NAMES, *GENERICS}))
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(sorted(NAMES))}"
    return UnknownTypeError(f"unknown type {shown!r}; {hint}", details={"spelling": shown, "candidates": near})
