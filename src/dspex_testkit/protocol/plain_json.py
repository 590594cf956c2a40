"""Strict JSON by the `json` module, the slower half of `codec`; whoever asks for this asks there."""

import json

from dspex_testkit.errors import LocalProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INFINITY = float("inf")


def loads(payload: bytes) -> "Any":
    """Read one JSON text.

    Raises:
        ValueError: As `codec.loads` does.
    """
    try:
        value = _decoder.decode(payload.decode("utf-8"))
        if b"\\ud" in payload or b"\\uD" in payload:
            _encode(value).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("lone surrogate in a string") from None
    return value


def dumps(value: "Any") -> bytes:
    """Write one JSON text in UTF-8.

    Raises:
        LocalProtocolError: A value in it has no JSON form.
    """
    try:
        try:
            text = _encode(value)
        except ValueError:
            text = _encode(_without_non_finite(value))
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"this value cannot be written as JSON: {error}") from None


def _without_non_finite(value: "Any") -> "Any":
    if isinstance(value, float):
        return value if -_INFINITY < value < _INFINITY else None
    if isinstance(value, dict):
        return {key: _without_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_non_finite(item) for item in value]
    return value


def _refuse_constant(token: str) -> "Any":
    raise ValueError(f"{token} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (_INFINITY, -_INFINITY):
        raise ValueError(f"the number {digits[:40]} is beyond the range of a float")
    return number


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
