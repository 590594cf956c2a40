"""Strict JSON in and out, with the same meaning before and after orjson is there.

orjson is four times faster but costs more to import than the first ping may take, so `json` works until
`use_orjson` is called. Where the two differ, both are held to one behaviour:

* integers of any size survive; orjson reads those beyond 64 bits as floats and refuses to write them
* ``NaN`` and the infinities are refused on the way in and become ``null`` on the way out
* lone surrogates are refused on the way in and become U+FFFD on the way out, so that the bytes are UTF-8
"""

import json

from dspex_testkit.errors import LocalProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DIGITS_TO_ZERO = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_MAYBE_BEYOND_64_BIT = b"0" * 19
_INFINITY = float("inf")

_fast_loads: "Callable[[bytes], Any] | None" = None
_fast_dumps: "Callable[[Any], bytes] | None" = None


def use_orjson() -> None:
    """Switch to orjson for the rest of the process. Idempotent; any thread may call it at any time."""
    global _fast_loads, _fast_dumps
    import orjson

    _fast_loads = orjson.loads
    _fast_dumps = orjson.dumps


def loads(payload: bytes) -> "Any":
    """Read one JSON text.

    Raises:
        ValueError: The bytes are not UTF-8, not JSON, or say something that JSON cannot (NaN, a lone surrogate).
    """
    # Mapping all digits to one and looking for a run of them is ten times faster than a regular expression. A run
    # inside a string or a fraction is no harm: the slower reader is right about those too.
    if _fast_loads is not None and _MAYBE_BEYOND_64_BIT not in payload.translate(_DIGITS_TO_ZERO):
        return _fast_loads(payload)
    return _loads(payload)


def dumps(value: "Any") -> bytes:
    """Write one JSON text in UTF-8.

    Raises:
        LocalProtocolError: A value in it has no JSON form.
    """
    if _fast_dumps is not None:
        try:
            return _fast_dumps(value)
        except TypeError:
            pass  # a large integer, a key that is no string, a lone surrogate, or nothing JSON knows
    return _dumps(value)


def _loads(payload: bytes) -> "Any":
    try:
        value = _decoder.decode(payload.decode("utf-8"))
        if b"\\ud" in payload or b"\\uD" in payload:
            _encode(value).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("lone surrogate in a string") from None
    return value


def _dumps(value: "Any") -> bytes:
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
