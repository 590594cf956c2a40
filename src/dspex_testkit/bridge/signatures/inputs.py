"""Checks inputs before DSPy sees them: DSPy itself only logs what is missing or mistyped."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from dspex_testkit.bridge.signatures.fields import FieldSpec
from dspex_testkit.bridge.signatures.fieldtypes import FieldTypes
from dspex_testkit.bridge.signatures.types import Kind
from dspex_testkit.bridge.signatures.values import to_json_value
from dspex_testkit.errors import InvalidArgsError
from dspex_testkit.nearest import nearest

if TYPE_CHECKING:
    from pydantic import ValidationError

_EXACT: dict[Kind, type] = {"string": str, "integer": int, "float": float, "boolean": bool}
"""Types of which a JSON value of that very class needs no look inside."""


class InputReader(Protocol):
    """Turns the inputs of an execution into keyword arguments of a program."""

    def read(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Typed values by attribute; extra inputs are dropped."""


class TypedInputs:
    """Reads what a signature declares.

    Args:
        fields: The inputs of the signature.
        types: Their Python types.
    """

    def __init__(self, fields: Sequence[FieldSpec], types: FieldTypes) -> None:
        self._fields = fields
        self._types = types
        self._plan = [(field, field.name, field.attribute, exact_type(field)) for field in fields]

    def read(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Typed values by attribute; optional inputs that did not come are None.

        Raises:
            InvalidArgsError: Inputs are missing, or have the wrong type.
        """
        values: dict[str, Any] = {}
        missing: list[str] = []
        wrong: list[str] = []
        for field, name, attribute, exact in self._plan:
            value = inputs.get(name)
            if type(value) is exact:
                values[attribute] = value
            elif value is None:
                values[attribute] = None
                if not field.optional:
                    missing.append(name)
            elif not field.typed:
                values[attribute] = _loose(value)
            elif (problem := self._convert(field, value, values)) is not None:
                wrong.append(problem)
        if missing:
            raise _missing(missing, [field.name for field in self._fields], inputs)
        if wrong:
            raise InvalidArgsError(f"Invalid inputs: {'; '.join(wrong)}")
        return values

    def _convert(self, field: FieldSpec, value: object, values: dict[str, Any]) -> str | None:
        """Puts the typed value in its place, or says what is wrong with it."""
        from pydantic import ValidationError

        adapter = self._types.adapter(field.attribute)
        try:
            values[field.attribute] = adapter.validate_python(value, strict=True)
            return None
        except ValidationError:
            # What JSON has no type for (dates, decimals, objects, integer keys) is strict in its JSON form only.
            text = json.dumps(to_json_value(value), ensure_ascii=False)
        try:
            values[field.attribute] = adapter.validate_json(text, strict=True)
            return None
        except ValidationError as error:
            return _problem(field, value, error)


class QuestionInput:
    """Reads the single question of the classic `question -> answer`: under that name, or whatever comes first."""

    def read(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The question as a text.

        Raises:
            InvalidArgsError: There is no input at all.
        """
        given = [name for name in inputs if inputs[name] is not None]
        # DSPex leaves its own session_id among the inputs now and then.
        name = "question" if "question" in given else min(given, key=lambda name: name == "session_id", default=None)
        if name is None:
            raise _missing(["question"], ["question"], inputs)
        return {"question": as_text(inputs[name])}


def exact_type(field: FieldSpec) -> type | None:
    """The class whose values are right for a field without further checks."""
    if not field.typed:
        return str
    return None if field.type.constraints else _EXACT.get(field.type.kind)


def as_text(value: object) -> str:
    """A JSON value as a text: itself if it is one, otherwise its JSON."""
    return value if isinstance(value, str) else json.dumps(to_json_value(value), ensure_ascii=False)


def _loose(value: object) -> Any:
    """A value for a field without a type. DSPy numbers the items of a list, which must be texts for that."""
    return [as_text(item) for item in value] if isinstance(value, list) else value


def _missing(missing: list[str], names: list[str], inputs: Mapping[str, Any]) -> InvalidArgsError:
    given = [name for name in inputs if inputs[name] is not None]
    extra = [name for name in given if name not in names]
    hints = [
        f"{near[0]!r} came instead of {name!r}?" for name in missing if (near := nearest(name, extra[:50], limit=1))
    ]
    came = f"given: {', '.join(map(repr, given[:20]))}" if given else "no inputs given"
    return InvalidArgsError(
        f"Missing required inputs: {', '.join(map(repr, missing))}; {'; '.join([came, *hints])}",
        details={"missing": missing, "given": given, "wanted": names},
    )


def _problem(field: FieldSpec, value: object, error: "ValidationError") -> str:
    first = error.errors(include_url=False)[0]
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    came = describe(value)
    if first["loc"] and field.type.kind != "union":
        came = f"{came} with {describe(first['input'])} at {field.name}{where}"
    return f"{field.name!r} wants {field.type.spelling}, but {came} came ({first['msg']})"


def describe(value: object) -> str:
    """A JSON value in a few words."""
    match value:
        case None:
            return "null"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int():
            return f"the integer {value}" if abs(value) < 10**40 else "a very large integer"
        case float():
            return f"the float {value}"
        case str():
            return f"the text {value if len(value) <= 60 else value[:59] + '…'!r}"
        case Mapping():
            return f"a map with the keys {', '.join(map(repr, list(value)[:8]))}" if value else "an empty map"
        case list():
            return f"a list of {len(value)}"
        case _:
            return f"a {type(value).__name__}"
