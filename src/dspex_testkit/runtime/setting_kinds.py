"""Kinds of settings: how a value is read from text or from the settings file, and what is wanted where it is wrong."""

import os

from dspex_testkit.protocol.frames import LARGEST_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Kind:
    """Reads one kind of value.

    Args:
        wanted: Completes the sentence "wanted …".
        read: Gives the value, or raises ValueError, TypeError or KeyError; text comes from flags and environment,
            anything else from the file.
        metavar: Stands for the value in the help text.
        choices: All possible values, where they are few.
    """

    __slots__ = ("choices", "metavar", "read", "wanted")

    def __init__(
        self, wanted: str, read: "Callable[[Any], Any]", metavar: str, choices: "tuple[str, ...]" = ()
    ) -> None:
        self.wanted = wanted
        self.read = read
        self.metavar = metavar
        self.choices = choices


def choice(*names: str) -> Kind:
    """One of a few words."""

    def read(value: "Any") -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return Kind(f"one of {', '.join(names)}", read, "|".join(names), names)


def _boolean(value: "Any") -> bool:
    return value if isinstance(value, bool) else _BOOLEANS[value.strip().lower()]


def _integer(value: "Any") -> int:
    if isinstance(value, bool | float):
        raise TypeError
    return int(value)


def _count(value: "Any") -> int:
    number = _integer(value)
    if number < 1:
        raise ValueError
    return number


def _seconds(value: "Any") -> float:
    number = float(value)
    if isinstance(value, bool) or not 0 < number < float("inf"):
        raise ValueError
    return number


def _size(value: "Any") -> int:
    if isinstance(value, str):
        digits = value.strip().rstrip("abceghikmBGIKM ")
        value = int(float(digits) * _UNITS[value.strip()[len(digits) :].strip().lower()])
    if _count(value) > LARGEST_SIZE:
        raise ValueError
    return int(value)


def _text(value: "Any") -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError
    return value


def _log_target(value: "Any") -> str:
    target = _text(value)
    return target.lower() if target.lower() in ("off", "stderr") else os.path.abspath(os.path.expanduser(target))


def _lm(value: "Any") -> "str | dict[str, Any]":
    if isinstance(value, str) and value.lstrip().startswith("{"):
        import json

        value = json.loads(value)
    if isinstance(value, dict) and value:
        return value
    return _text(value)


def _modules(value: "Any") -> "tuple[str, ...]":
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) and all(part.isidentifier() for part in name.split(".")) for name in names):
        raise ValueError
    return tuple(names)


def _names(value: "Any") -> "tuple[str, ...]":
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) and name and not name.isspace() for name in names):
        raise ValueError
    return tuple(names)


def _pairs(value: "Any") -> "tuple[tuple[str, str], ...]":
    if isinstance(value, str):
        value = dict(pair.split("=", 1) for pair in value.split(","))
    if value == []:
        return ()  # as the installed file spells "none"
    pairs = tuple((name.strip(), other.strip()) for name, other in value.items())
    if not all(name and other for name, other in pairs):
        raise ValueError
    return pairs


boolean = Kind("true or false", _boolean, "true|false", ("true", "false"))
integer = Kind("an integer", _integer, "N")
count = Kind("a positive integer", _count, "N")
seconds = Kind("a positive number of seconds", _seconds, "SECONDS")
size = Kind("a positive number of bytes below 4 GiB, such as 1048576 or 64MiB", _size, "SIZE")
text = Kind("text that is not empty", _text, "TEXT")
log_target = Kind("a path, 'stderr' or 'off'", _log_target, "PATH|stderr|off")
lm = Kind("a model such as 'openai/gpt-4', or an LM config as a JSON object", _lm, "MODEL|JSON")
modules = Kind("module names separated by commas, such as 'myapp.mocks'", _modules, "MODULE,…")
names = Kind("names separated by commas, such as 'api.openai.com'", _names, "NAME,…")
pairs = Kind("pairs of models such as 'gemini-1.5-flash=gemini-2.5-flash'", _pairs, "MODEL=MODEL,…")
