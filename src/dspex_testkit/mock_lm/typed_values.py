"""A value of any type that a signature can ask for, drawn from a source of deterministic numbers.

Whoever makes values decides what texts look like and where the numbers come from; this module knows types.
"""

import datetime
import inspect
import re
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import EnumMeta
from hashlib import blake2b
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from dspy import Reasoning
from typing_extensions import is_typeddict

from dspex_testkit.mock_lm.bounds import Bounds

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
    """

    def __init__(self, draw: Draw, make_text: MakeText, *, null_rate: float = 0.0, any_member: bool = False) -> None:
        self._draw = draw
        self._make_text = make_text
        self._null_rate = null_rate
        self._any_member = any_member

    def field(self, name: str, info: Any) -> Any:
        """A value for a field of a signature or model, obeying its constraints."""
        return self.value(info.annotation, name, Bounds().with_metadata(info.metadata))

    def value(self, annotation: Any, path: str, bounds: Bounds = Bounds(), depth: int = 0) -> Any:  # noqa: B008
        """A value of a type.

        Raises:
            ValueError: The type is one for which no value can be made up.
        """
        if annotation is str:
            text = self._make_text(path, bounds)
            if bounds.pattern is not None and re.search(bounds.pattern, text) is None:
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
            return make(self._draw(path), bounds)
        return self._named(annotation, path, bounds, depth)

    def schema(self, schema: Mapping[str, Any], path: str, definitions: Mapping[str, Any] | None = None) -> Any:
        """A value that a JSON Schema accepts: the arguments of a tool, a response format."""
        definitions = schema.get("$defs", definitions) or {}
        if "$ref" in schema:
            return self.schema(definitions[schema["$ref"].rsplit("/", 1)[-1]], path, definitions)
        if "const" in schema:
            return schema["const"]
        for choices in (schema.get("enum"), schema.get("examples")):
            if choices:
                return choices[self._draw(path) % len(choices)]
        for key in ("anyOf", "oneOf", "allOf"):
            if schema.get(key):
                options = [option for option in schema[key] if option.get("type") != "null"] or schema[key]
                return self.schema(options[0], path, definitions)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        bounds = _schema_bounds(schema)
        if kind == "object":
            return {
                name: self.schema(part, f"{path}.{name}", definitions)
                for name, part in schema.get("properties", {}).items()
            }
        if kind == "array":
            items = schema.get("items") or {"type": "string"}
            return [self.schema(items, f"{path}[{i}]", definitions) for i in range(bounds.count(2))]
        return {"null": None}.get(kind) if kind == "null" else self.value(_JSON_TYPES[kind], path, bounds)

    def _generic(self, origin: Any, args: tuple[Any, ...], path: str, bounds: Bounds, depth: int) -> Any:
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
            keys, values = args or (str, str)
            count = 0 if depth >= _MAX_DEPTH and not bounds.min_length else bounds.count(2)
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
        count = bounds.min_length or 0 if depth >= _MAX_DEPTH else bounds.count(2)
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
        if is_typeddict(annotation) or hasattr(annotation, "__dataclass_fields__"):
            made = {
                name: self.value(hint, f"{path}.{name}", Bounds(), depth + 1)
                for name, hint in typing.get_type_hints(annotation, include_extras=True).items()
            }
            return made if is_typeddict(annotation) else annotation(**made)
        if annotation is None or annotation is type(None):
            return None
        return self.schema(pydantic.TypeAdapter(annotation).json_schema(), path)

    def _model(self, model: type[pydantic.BaseModel], path: str, depth: int) -> Any:
        made = {}
        for name, info in model.model_fields.items():
            if depth >= _MAX_DEPTH and not info.is_required():
                continue
            bounds = Bounds().with_metadata(info.metadata)
            made[info.alias or name] = self.value(info.annotation, f"{path}.{name}", bounds, depth + 1)
        return model.model_validate(made)


def fit_length(text: str, bounds: Bounds) -> str:
    """The text cut or padded to the allowed length."""
    if bounds.max_length is not None:
        text = text[: bounds.max_length]
    return text.ljust(bounds.min_length or 0, "x")


def _int(number: int, bounds: Bounds) -> int:
    low, high = bounds.whole((0, 999))
    step = int(bounds.multiple_of or 1)
    first = -(-low // step) * step
    return first + number % ((high - first) // step + 1) * step if high >= first else first


def _float(number: int, bounds: Bounds) -> float:
    low, high = bounds.decimal((0.0, 99.9))
    if bounds.multiple_of:
        step = float(bounds.multiple_of)
        return step * _int(number, Bounds(ge=low / step, le=high / step))
    return min(high, max(low, round(low + (high - low) * (number % 1000) / 999, 4)))


def _decimal(number: int, bounds: Bounds) -> Decimal:
    return Decimal(str(_float(number, bounds)))


def _moment(number: int, bounds: Bounds) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(minutes=number % 1_000_000)


_SCALARS: dict[Any, Callable[[int, Bounds], Any]] = {
    int: _int,
    float: _float,
    Decimal: _decimal,
    bool: lambda number, _: number % 2 == 0,
    bytes: lambda number, _: f"mock_{number % 1000}".encode(),
    datetime.datetime: _moment,
    datetime.date: lambda number, bounds: _moment(number, bounds).date(),
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


def _schema_bounds(schema: Mapping[str, Any]) -> Bounds:
    return Bounds(**{_SCHEMA_BOUNDS[key]: value for key, value in schema.items() if key in _SCHEMA_BOUNDS})
