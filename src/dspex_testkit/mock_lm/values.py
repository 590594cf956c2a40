"""Values on their way into an answer.

They are converted to a field's type, written so that validation makes them again, and compared with what is read.
"""

import dataclasses
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any

import dspy
import pydantic
from pydantic import AliasChoices, AliasPath, TypeAdapter

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


def to_input(value: Any) -> Any:
    """The value as JSON from which validation makes it again.

    No serializer of its type is asked, for that is what a program writes, not what it reads: fields that are excluded
    from dumps are there, secrets are told, and names are those under which validation looks for them.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, PLAIN) else value.name
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, pydantic.SecretStr | pydantic.SecretBytes):
        return to_input(value.get_secret_value())
    if isinstance(value, dspy.Type) and type(value).__module__.startswith("dspy."):
        return _dumped(value)
    if isinstance(value, pydantic.RootModel):
        return to_input(value.root)
    if isinstance(value, pydantic.BaseModel):
        return _fields_of_model(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_input(getattr(value, each.name)) for each in dataclasses.fields(value) if each.init}
    if isinstance(value, Mapping):
        return {_as_key(key): to_input(item) for key, item in value.items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [to_input(item) for item in value]
    return _dumped(value)


def secrets_within(value: Any) -> set[str]:
    """The values of secrets (`SecretStr`) within a value, which no journal is to show."""
    if isinstance(value, PLAIN):
        return set()
    if isinstance(value, pydantic.SecretStr | pydantic.SecretBytes):
        secret = to_input(value.get_secret_value())
        return {secret} if isinstance(secret, str) else set()
    if isinstance(value, Mapping):
        inner: list[Any] = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | AbstractSet):
        inner = [*value]
    elif isinstance(value, pydantic.BaseModel) or dataclasses.is_dataclass(value):
        inner = [*_state(value).values()]
    else:
        return set()
    return set().union(*map(secrets_within, inner)) if inner else set()


def same_value(given: Any, read: Any) -> bool:
    """Whether a value has arrived: of the same types throughout, up to the white space that adapters trim.

    NaN is NaN; objects without an equality of their own are compared by their fields.
    """
    if isinstance(given, list | tuple) and isinstance(read, list | tuple):
        return len(given) == len(read) and all(map(same_value, given, read))
    if type(given) is not type(read):
        return False
    if isinstance(given, str):
        return given == read or _trimmed(given) == _trimmed(read)
    if isinstance(given, float):
        return bool(given == read) or (math.isnan(given) and math.isnan(read))
    if isinstance(given, Mapping):
        return given.keys() == read.keys() and all(same_value(item, read[key]) for key, item in given.items())
    if isinstance(given, Enum | type):
        return given is read
    if isinstance(given, pydantic.BaseModel) or dataclasses.is_dataclass(given):
        return same_value(_state(given), _state(read))
    equality: Any = type(given).__eq__
    if equality is object.__eq__:
        state = _state(given)
        return same_value(state, _state(read)) if state else repr(given) == repr(read)
    try:
        return bool(given == read)
    except (ValueError, TypeError):
        return repr(given) == repr(read)  # arrays are equal item by item


def _trimmed(text: str) -> str:
    # Adapters trim texts and know one kind of line end.
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def _state(value: Any) -> dict[str, Any]:
    """The fields of an object, by name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
    state = dict(getattr(value, "__dict__", ()))
    if isinstance(value, pydantic.BaseModel):
        if isinstance(value, dspy.ToolCalls.ToolCall):
            # An id is for whoever answers the call; in text it does not travel.
            state.pop("id", None)
        return {**state, **(value.model_extra or {})}
    for cls in type(value).__mro__:
        slots = getattr(cls, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                state[name] = getattr(value, name)
    return state


def _fields_of_model(model: pydantic.BaseModel) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        put_field(written, name, info, to_input(getattr(model, name)))
    return {**written, **{name: to_input(value) for name, value in (model.model_extra or {}).items()}}


def put_field(written: dict[str, Any], name: str, info: Any, value: Any) -> None:
    """Put the value of a model's field where validation looks for it."""
    alias = info.validation_alias or info.alias or name
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    if not isinstance(alias, AliasPath):
        written[alias] = value
        return
    place: Any = written
    for step, following in zip(alias.path, [*alias.path[1:], None], strict=True):
        empty: Any = value if following is None else [] if isinstance(following, int) else {}
        if isinstance(step, int):
            place.extend([None] * (step + 1 - len(place)))
            place[step] = empty if following is None or place[step] is None else place[step]
        elif following is None or step not in place:
            place[step] = empty
        place = place[step]


def _as_key(key: Any) -> Any:
    written = to_input(key)
    return written if isinstance(written, str | int) and not isinstance(written, bool) else str(key)


def _dumped(value: Any) -> Any:
    try:
        return TypeAdapter(type(value)).dump_python(value, mode="json", by_alias=True, fallback=str)
    except ValueError:
        return serialize_for_json(value)
