"""Values as JSON and back, between processes of one version of this package.

What JSON knows travels as it is. Everything else is an object with the single key ``"$"``: what it is, and what it is
made of. The package's own dataclasses, models and enumerations need no registration; nothing else is ever built from
a message, because a name is looked up only within this package.
"""

import base64
import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel, SecretStr

from dspex_testkit import errors
from dspex_testkit.calls import ANY_SESSION
from dspex_testkit.calls.journal import _AnySession
from dspex_testkit.errors import DSPexTestkitError, LocalProtocolError

_TAG = "$"
_PACKAGE = "dspex_testkit."
_PLAIN = frozenset({str, int, bool, type(None)})


def pack(value: Any) -> Any:
    """The value as JSON knows it.

    Raises:
        LocalProtocolError: It holds something that cannot travel.
    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        return value if math.isfinite(value) else {_TAG: ["float", repr(value)]}
    if kind is dict:
        if _TAG not in value and all(type(key) is str for key in value):
            return {key: pack(item) for key, item in value.items()}
        return {_TAG: ["dict", [[pack(key), pack(item)] for key, item in value.items()]]}
    if kind is list:
        return [pack(item) for item in value]
    if kind is tuple:
        return {_TAG: ["tuple", [pack(item) for item in value]]}
    return {_TAG: _packer(kind)(value)}


def unpack(data: Any) -> Any:
    """The value that was packed.

    Raises:
        ValueError: It names something that is not of this package.
    """
    kind = type(data)
    if kind is dict:
        if _TAG not in data:
            return {key: unpack(item) for key, item in data.items()}
        name, content = data[_TAG]
        return _UNPACKERS[name](content) if name in _UNPACKERS else _build(name, content)
    if kind is list:
        return [unpack(item) for item in data]
    return data


def describe(error: DSPexTestkitError) -> dict[str, Any]:
    """An error of ours as JSON values."""
    return {
        "class": type(error).__name__,
        "message": error.message,
        "code": error.code,
        "details": error.details,
    }


def rebuild(data: dict[str, Any]) -> DSPexTestkitError:
    """The error that was described."""
    kind = getattr(errors, data["class"], DSPexTestkitError)
    error: DSPexTestkitError = kind.__new__(kind)
    # Some classes are made from more than their message, which is all that travels.
    DSPexTestkitError.__init__(error, data["message"], details=data["details"])
    error.code = data["code"]  # type: ignore[misc]  # an error keeps its code wherever it is raised
    return error


_UNPACKERS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "dict": lambda pairs: {unpack(key): unpack(item) for key, item in pairs},
    "tuple": lambda items: tuple(unpack(item) for item in items),
    "set": lambda items: {unpack(item) for item in items},
    "frozenset": lambda items: frozenset(unpack(item) for item in items),
    "bytes": lambda text: base64.b64decode(text),
    "decimal": Decimal,
    "secret": SecretStr,
    "any_session": lambda _: ANY_SESSION,
    "path": Path,
    "error": rebuild,
}


@lru_cache(maxsize=256)
def _packer(kind: Any) -> Callable[[Any], list[Any]]:
    """How values of a class are taken apart."""
    if issubclass(kind, SecretStr):
        return lambda value: ["secret", value.get_secret_value()]
    if issubclass(kind, _AnySession):
        return lambda value: ["any_session", None]
    if issubclass(kind, Decimal):
        return lambda value: ["decimal", str(value)]
    if issubclass(kind, PurePath):
        return lambda value: ["path", os.fspath(value)]
    if issubclass(kind, DSPexTestkitError):
        return lambda value: ["error", describe(value)]
    if issubclass(kind, bytes):
        return lambda value: ["bytes", base64.b64encode(value).decode("ascii")]
    if issubclass(kind, set | frozenset):
        name = "set" if issubclass(kind, set) else "frozenset"
        return lambda value: [name, [pack(item) for item in value]]
    name = f"{kind.__module__}:{kind.__qualname__}"
    if name.startswith(_PACKAGE):
        if issubclass(kind, Enum):
            return lambda value: [name, value.value]
        if issubclass(kind, BaseModel):
            return lambda value: [name, {field: pack(getattr(value, field)) for field in type(value).model_fields}]
        if dataclasses.is_dataclass(kind):
            fields = [(field.name, field.default) for field in dataclasses.fields(kind)]
            # What is at its default is the larger part of most records, and need not travel.
            return lambda value: [
                name,
                {field: pack(item) for field, default in fields if (item := getattr(value, field)) is not default},
            ]
    if issubclass(kind, Mapping):
        return lambda value: ["dict", [[pack(key), pack(item)] for key, item in value.items()]]
    raise LocalProtocolError(f"a value of type {name} cannot travel between the processes of a pool")


@lru_cache(maxsize=256)
def _class(name: str) -> Any:
    module, _, qualname = name.partition(":")
    if not module.startswith(_PACKAGE):
        raise ValueError(f"{name} is not of this package")
    found: Any = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    if not isinstance(found, type) or not (issubclass(found, Enum | BaseModel) or dataclasses.is_dataclass(found)):
        raise ValueError(f"{name} is no value")
    return found


def _build(name: str, content: Any) -> Any:
    kind = _class(name)
    if issubclass(kind, Enum):
        return kind(content)
    fields = {field: unpack(item) for field, item in content.items()}
    # It was checked when it was first made.
    return kind.model_construct(**fields) if issubclass(kind, BaseModel) else kind(**fields)
