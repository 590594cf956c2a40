"""A value of any type that a signature can ask for, drawn from a source of deterministic numbers.

Whoever makes values decides what texts look like and where the numbers come from; this module knows types.
"""

import dataclasses
import datetime
import inspect
import types
import typing
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from enum import EnumMeta
from hashlib import blake2b
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pydantic
from dspy import Reasoning
from typing_extensions import ReadOnly, is_typeddict

from dspex_testkit.errors import AnswerError, UnusablePatternError
from dspex_testkit.limits import (
    LONGEST_TEXT,
    MOST_CHARACTERS,
    MOST_ITEMS,
    MOST_PARTS,
    NESTING,
    brief,
    is_number,
)
from dspex_testkit.mock_lm.bounds import Bounds
from dspex_testkit.mock_lm.values import put_field
from dspex_testkit.patterns import bounded


class NoValueError(AnswerError, ValueError):
    """A value of this type, or for this schema, cannot be made up."""


Moment = TypeVar("Moment", bound=datetime.date)
Draw = Callable[[str], int]
"""A large number for a path (`answer`, `answer.city`, `answer[0]`), the same for the same path."""
MakeText = Callable[[str, Bounds], str]
"""A text for a path."""

_EPOCH = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
_MAX_DEPTH = 4


def number_source(*identity: str) -> Draw:
    """Numbers that depend on the identity and the path only: not on order, process or platform."""
    start = blake2b("\x1f".join(identity).encode("utf-8", "surrogatepass"), digest_size=16)

    def draw(path: str) -> int:
        state = start.copy()
        state.update(b"\x1e" + path.encode("utf-8", "surrogatepass"))
        return int.from_bytes(state.digest()[:8])

    return draw


class ValueMaker:
    """Makes typed values.

    Args:
        draw: Where the numbers come from.
        make_text: What a text looks like.
        null_rate: The share of values that are None where None is allowed.
        any_member: Draw the member of a union too, instead of taking its first.
        again: Makes a maker of other values.
    """

    def __init__(
        self,
        draw: Draw,
        make_text: MakeText,
        *,
        null_rate: float = 0.0,
        any_member: bool = False,
        again: "Callable[[], ValueMaker] | None" = None,
    ) -> None:
        self._draw = draw
        self._make_text = make_text
        self._null_rate = null_rate
        self._any_member = any_member
        self._again = again
        self._parts = 0
        self._characters = 0

    def again(self) -> "ValueMaker":
        """A maker of other values, for where these cannot be used."""
        return self if self._again is None else self._again()

    def field(self, name: str, info: Any) -> Any:
        """A value for a field of a signature or model, obeying its constraints."""
        return self.value(info.annotation, name, Bounds().with_metadata(info.metadata))

    def value(self, annotation: Any, path: str, bounds: Bounds = Bounds(), depth: int = 0) -> Any:  # noqa: B008
        """A value of a type.

        Raises:
            ValueError: The type is one for which no value can be made up.
        """
        self._spend(1, 0)
        if depth > NESTING:
            raise NoValueError(f"{path}: the type asks for more than {NESTING} levels")
        if annotation is str:
            if (bounds.min_length or 0) > LONGEST_TEXT:
                raise NoValueError(
                    f"{path}: {LONGEST_TEXT} characters are made up at most, not {brief(bounds.min_length)}"
                )
            text = self._make_text(path, bounds)
            self._spend(0, len(text))
            if bounds.pattern is not None and not _fits(bounds.pattern, text, path):
                raise ValueError(
                    f"no text for the pattern {bounds.pattern!r} is known here; a random mock with realistic=true "
                    "makes one"
                )
            return text
        origin = get_origin(annotation)
        if origin is Annotated:
            inner, *metadata = get_args(annotation)
            return self.value(inner, path, bounds.with_metadata(metadata), depth)
        if origin is not None:
            return self._generic(origin, get_args(annotation), path, bounds, depth)
        make = _SCALARS.get(annotation) if isinstance(annotation, typing.Hashable) else None
        if make is not None:
            try:
                return make(self._draw(path), bounds)
            except (OverflowError, ZeroDivisionError):
                raise NoValueError(f"{path}: no number within these bounds can be made up") from None
        return self._named(annotation, path, bounds, depth)

    def schema(self, schema: Any, path: str, definitions: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
        """A value that a JSON Schema accepts: the arguments of a tool, a response format.

        Raises:
            NoValueError: It is no schema, asks for more than may be made up, or for values without an end.
        """
        if schema is True:
            schema = {}
        if not isinstance(schema, Mapping):
            raise NoValueError(f"{path}: a schema is an object, not {brief(schema)}")
        if depth > NESTING:
            raise NoValueError(f"{path}: the schema asks for more than {NESTING} levels")
        self._spend(1, 0)
        if isinstance(schema.get("$defs"), Mapping):
            definitions = schema["$defs"]
        if "$ref" in schema:
            name = str(schema["$ref"]).rsplit("/", 1)[-1]
            if name not in (definitions or {}):
                raise NoValueError(f"{path}: {brief(schema['$ref'])} is not among the schema's $defs")
            return self.schema((definitions or {})[name], path, definitions, depth + 1)
        if "const" in schema:
            return schema["const"]
        for key in ("enum", "examples"):
            choices = schema.get(key)
            if isinstance(choices, list) and choices:
                return choices[self._draw(path) % len(choices)]
        for key in ("anyOf", "oneOf", "allOf"):
            choices = schema.get(key)
            if isinstance(choices, list) and choices:
                return self.schema(_preferred(choices, depth), path, definitions, depth + 1)
        return self._of_kind(schema, path, definitions, depth)

    def _of_kind(self, schema: Mapping[str, Any], path: str, definitions: Mapping[str, Any] | None, depth: int) -> Any:
        kind: Any = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        if kind == "null":
            return None
        if not isinstance(kind, str) or kind not in ("object", "array", *_JSON_TYPES):
            known = ", ".join(("object", "array", "null", *_JSON_TYPES))
            raise NoValueError(f"{path}: the type of a schema is one of {known}, not {brief(kind)}")
        bounds = _schema_bounds(schema, path)
        if kind == "object":
            properties, required = schema.get("properties") or {}, schema.get("required") or []
            if not isinstance(properties, Mapping) or not isinstance(required, list):
                raise NoValueError(f"{path}: properties are an object of schemas, and required is a list of names")
            # What contains itself comes to an end where it may.
            wanted = [name for name in properties if depth < _MAX_DEPTH or name in required]
            return {name: self.schema(properties[name], f"{path}.{name}", definitions, depth + 1) for name in wanted}
        if kind == "array":
            items = schema.get("items") or {"type": "string"}
            count = self._count(replace(bounds, max_length=0) if depth >= _MAX_DEPTH else bounds, path)
            return [self.schema(items, f"{path}[{i}]", definitions, depth + 1) for i in range(count)]
        if kind == "string" and (make := _FORMATS.get(str(schema.get("format")))) is not None:
            return make(self._draw(path))
        return self.value(_JSON_TYPES[kind], path, bounds)

    def _count(self, bounds: Bounds, path: str) -> int:
        """How many items a list is to have."""
        if (bounds.min_length or 0) > MOST_ITEMS:
            raise NoValueError(f"{path}: {MOST_ITEMS} items are made up at most, not {brief(bounds.min_length)}")
        return bounds.count(2)

    def _spend(self, parts: int, characters: int) -> None:
        """Count what has been made up; a schema can ask for more than there is memory, in a few words."""
        self._parts += parts
        self._characters += characters
        if self._parts > MOST_PARTS or self._characters > MOST_CHARACTERS:
            raise NoValueError(
                f"more is asked for than is made up: {MOST_PARTS} values and {MOST_CHARACTERS} characters at most"
            )

    def _generic(self, origin: Any, args: tuple[Any, ...], path: str, bounds: Bounds, depth: int) -> Any:
        if origin in _QUALIFIERS:
            return self.value(args[0], path, bounds, depth)
        if origin is Literal:
            return args[self._draw(path) % len(args)]
        if origin in (Union, types.UnionType):
            options = [arg for arg in args if arg is not type(None)]
            may_be_null = len(options) < len(args)
            if may_be_null and (depth >= _MAX_DEPTH or self._share(f"{path}?") < self._null_rate):
                return None
            chosen = options[self._draw(f"{path}|") % len(options)] if self._any_member else options[0]
            return self.value(chosen, path, bounds, depth)
        if origin is tuple:
            if len(args) == 2 and args[1] is ...:
                return tuple(self._items(args[0], path, bounds, depth))
            return tuple(self.value(arg, f"{path}[{i}]", Bounds(), depth + 1) for i, arg in enumerate(args))
        if inspect.isclass(origin) and issubclass(origin, Mapping):
            keys, values = (args[0], int) if origin is Counter else args or (str, str)
            count = 0 if depth >= _MAX_DEPTH and not bounds.min_length else self._count(bounds, path)
            return {
                self.value(keys, f"{path}_key{i}", Bounds(), depth + 1): self.value(
                    values, f"{path}[{i}]", Bounds(), depth + 1
                )
                for i in range(count)
            }
        items = self._items(args[0] if args else str, path, bounds, depth)
        return origin(items) if origin in (set, frozenset, list) else items

    def _share(self, path: str) -> float:
        return float(self._draw(path) / 2**64)

    def _items(self, annotation: Any, path: str, bounds: Bounds, depth: int) -> list[Any]:
        # Recursive models come to an end here.
        count = self._count(replace(bounds, max_length=0) if depth >= _MAX_DEPTH else bounds, path)
        return [self.value(annotation, f"{path}[{i}]", Bounds(), depth + 1) for i in range(count)]

    def _named(self, annotation: Any, path: str, bounds: Bounds, depth: int) -> Any:
        if isinstance(annotation, EnumMeta):
            members: list[Any] = list(annotation)
            return members[self._draw(path) % len(members)]
        if annotation in (list, set, frozenset, tuple):
            return annotation(self._items(str, path, bounds, depth))
        if annotation is dict:
            return self._generic(dict, (), path, bounds, depth)
        if annotation is Any or annotation is object:
            return self._make_text(path, bounds)
        if annotation is Reasoning:
            return Reasoning(content=self._make_text(path, bounds))
        if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
            return self._model(annotation, path, depth)
        if is_typeddict(annotation) or dataclasses.is_dataclass(annotation) or _is_named_tuple(annotation):
            hints = typing.get_type_hints(annotation, include_extras=True)
            if dataclasses.is_dataclass(annotation):
                # Neither class variables nor fields that the class fills in itself.
                hints = {each.name: hints[each.name] for each in dataclasses.fields(annotation) if each.init}
            made = {name: self.value(hint, f"{path}.{name}", Bounds(), depth + 1) for name, hint in hints.items()}
            return made if is_typeddict(annotation) else annotation(**made)
        if annotation is None or annotation is type(None):
            return None
        return self.schema(pydantic.TypeAdapter(annotation).json_schema(), path)

    def _model(self, model: type[pydantic.BaseModel], path: str, depth: int) -> Any:
        if issubclass(model, pydantic.RootModel):
            root = model.model_fields["root"]
            bounds = Bounds().with_metadata(root.metadata)
            return model.model_validate(self.value(root.annotation, path, bounds, depth + 1))
        made: dict[str, Any] = {}
        for name, info in model.model_fields.items():
            if depth >= _MAX_DEPTH and not info.is_required():
                continue
            bounds = Bounds().with_metadata(info.metadata)
            put_field(made, name, info, self.value(info.annotation, f"{path}.{name}", bounds, depth + 1))
        return model.model_validate(made)


def fit_length(text: str, bounds: Bounds) -> str:
    """The text cut or padded to the allowed length."""
    if bounds.max_length is not None:
        text = text[: bounds.max_length]
    return text.ljust(bounds.min_length or 0, "x")


def _int(number: int, bounds: Bounds) -> int:
    low, high = bounds.whole((0, 999))
    step = max(1, int(bounds.multiple_of or 1))
    first = -(-low // step) * step
    if high < first:
        raise NoValueError(f"no whole number lies between {low} and {high}{f' in steps of {step}' if step > 1 else ''}")
    return first + number % ((high - first) // step + 1) * step


def _float(number: int, bounds: Bounds) -> float:
    low, high = bounds.decimal((0.0, 99.9))
    if high < low:
        raise NoValueError(f"no number lies between {low} and {high}")
    if bounds.multiple_of:
        step = float(bounds.multiple_of)
        return step * _int(number, Bounds(ge=low / step, le=high / step))
    return min(high, max(low, round(low + (high - low) * (number % 1000) / 999, 4)))


def _decimal(number: int, bounds: Bounds) -> Decimal:
    return Decimal(str(_float(number, bounds)))


def _moment(number: int, bounds: Bounds) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(minutes=number % 1_000_000)


def _date(number: int, bounds: Bounds) -> datetime.date:
    return _within(_moment(number, bounds).date(), number, bounds, datetime.timedelta(days=1))


def _datetime(number: int, bounds: Bounds) -> datetime.datetime:
    return _within(_moment(number, bounds), number, bounds, datetime.timedelta(minutes=1))


def _within(value: Moment, number: int, bounds: Bounds, step: datetime.timedelta) -> Moment:
    """A day or moment within its bounds, which are met a few steps away."""
    low = bounds.gt + step if bounds.gt is not None else bounds.ge
    high = bounds.lt - step if bounds.lt is not None else bounds.le
    if low is not None and high is not None and low > high:
        raise NoValueError(f"nothing lies between {low} and {high}")
    found: Any = value
    if low is not None and found < low:
        found = low + number % 100 * step
    if high is not None and found > high:
        found = high - number % 100 * step
    made: Moment = found if low is None or found >= low else low
    return made


def _bytes(number: int, bounds: Bounds) -> bytes:
    return fit_length(f"mock_{number % 1000}", bounds).encode()


def _is_named_tuple(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")


_QUALIFIERS = (typing.NotRequired, typing.Required, ReadOnly)
_FAR = datetime.timedelta(days=36_500)
"""From the days that are made up to those that are yet to come for whoever reads this."""
_FORMATS: dict[str, Callable[[int], str]] = {
    "date": lambda number: _moment(number, Bounds()).date().isoformat(),
    "date-time": lambda number: _moment(number, Bounds()).isoformat().replace("+00:00", "Z"),
    "time": lambda number: _moment(number, Bounds()).time().isoformat(),
    "duration": lambda number: f"PT{number % 100_000}S",
    "uuid": lambda number: str(uuid.UUID(int=number << 64 | number, version=4)),
    "uri": lambda number: f"https://example.com/mock_{number & 0xFFFFFFFF:08x}",
    "email": lambda number: f"mock_{number & 0xFFFFFFFF:08x}@example.com",
    "hostname": lambda number: f"mock-{number & 0xFFFFFFFF:08x}.example.com",
    "ipv4": lambda number: f"192.0.2.{number % 254 + 1}",
    "ipv6": lambda number: f"2001:db8::{number & 0xFFFF:x}",
}
"""Texts of a schema's `format`; addresses are those that are kept for examples."""


_SCALARS: dict[Any, Callable[[int, Bounds], Any]] = {
    int: _int,
    float: _float,
    Decimal: _decimal,
    bool: lambda number, _: number % 2 == 0,
    bytes: _bytes,
    datetime.datetime: _datetime,
    datetime.date: _date,
    pydantic.AwareDatetime: _datetime,
    pydantic.NaiveDatetime: lambda number, bounds: _moment(number, bounds).replace(tzinfo=None),
    pydantic.PastDate: _date,
    pydantic.PastDatetime: _datetime,
    pydantic.FutureDate: lambda number, bounds: _date(number, bounds) + _FAR,
    pydantic.FutureDatetime: lambda number, bounds: _datetime(number, bounds) + _FAR,
    datetime.time: lambda number, bounds: _moment(number, bounds).time(),
    datetime.timedelta: lambda number, _: datetime.timedelta(seconds=number % 100_000),
    uuid.UUID: lambda number, _: uuid.UUID(int=number << 64 | number, version=4),
}
_JSON_TYPES: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}
_SCHEMA_BOUNDS = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
}


_LENGTHS = ("min_length", "max_length")


def _fits(pattern: str, text: str, path: str) -> bool:
    try:
        return bounded(pattern).search(text) is not None
    except UnusablePatternError as error:
        raise NoValueError(f"{path}: {error.message}") from None


def _schema_bounds(schema: Mapping[str, Any], path: str) -> Bounds:
    found: dict[str, Any] = {}
    for key, name in _SCHEMA_BOUNDS.items():
        value = schema.get(key)
        if value is None:
            continue
        if name == "pattern":
            fits, wanted = isinstance(value, str), "a text"
        elif name in _LENGTHS:
            fits, wanted = is_number(value, 0) and value == int(value), "a number of at least 0"
            value = int(value) if fits else value
        else:
            # JSON Schema's fourth draft had true and false for exclusive bounds.
            fits, wanted = is_number(value) or isinstance(value, bool), "a number"
        if not fits or (name == "multiple_of" and value <= 0):
            raise NoValueError(f"{path}: {key} of a schema is {wanted}, not {brief(value)}")
        if not isinstance(value, bool):
            found[name] = value
    return Bounds(**found)


def _preferred(choices: list[Any], depth: int) -> Any:
    """The first choice that is not null; deep down, null where it may be, so that what contains itself ends."""
    nulls = [choice for choice in choices if isinstance(choice, Mapping) and choice.get("type") == "null"]
    others = [choice for choice in choices if choice not in nulls]
    return nulls[0] if nulls and (depth >= _MAX_DEPTH or not others) else others[0]
