"""Strict JSON in and out, with the same meaning before and after orjson is there.

orjson is four times faster but costs more to import than the first ping may take, so `plain_json` works until
`use_orjson` is called, and is imported when it is first needed. Where the two differ, both are held to one behaviour:

* integers of any size survive; orjson reads those beyond 64 bits as floats and refuses to write them
* ``NaN`` and the infinities are refused on the way in and become ``null`` on the way out
* lone surrogates are refused on the way in and become U+FFFD on the way out, so that the bytes are UTF-8
* what a stranger has nested deeper than `limits.NESTING` is refused on the way in
"""

from dspex_testkit.limits import NESTING, is_too_deep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DIGITS_TO_ZERO = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_MAYBE_BEYOND_64_BIT = b"0" * 19
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

_fast_loads: "Callable[[bytes], Any] | None" = None
_fast_dumps: "Callable[[Any], bytes] | None" = None


def use_orjson() -> None:
    """Switch to orjson for the rest of the process. Idempotent; any thread may call it at any time."""
    global _fast_loads, _fast_dumps
    import orjson

    _fast_loads = orjson.loads
    _fast_dumps = orjson.dumps


def loads(payload: bytes, *, trusted: bool = False) -> "Any":
    """Read one JSON text.

    Args:
        payload: Its bytes.
        trusted: Whether the kit has written it, which wraps what it took from a client: that may be deeper.

    Raises:
        ValueError: The bytes are not UTF-8, not JSON, or say something that JSON cannot (NaN, a lone surrogate).
    """
    value = _read(payload)
    if trusted:
        return value
    if payload.count(b"[") + payload.count(b"{") > NESTING and _may_be_deep(payload) and is_too_deep(value):
        raise ValueError(f"lists and maps are nested deeper than {NESTING} levels")
    return value


def _may_be_deep(payload: bytes) -> bool:
    """Whether the brackets are nested too deeply; brackets within texts may make it look so."""
    brackets = payload.translate(None, _NO_BRACKETS)
    # Each round takes away one level or two, as lists lie in maps or maps in lists.
    for _ in range(NESTING // 2):
        before = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return False
        if len(brackets) == before:
            break
    return True


def _read(payload: bytes) -> "Any":
    # Mapping all digits to one and looking for a run of them is ten times faster than a regular expression. A run
    # inside a string or a fraction is no harm: the slower reader is right about those too.
    if _fast_loads is not None and _MAYBE_BEYOND_64_BIT not in payload.translate(_DIGITS_TO_ZERO):
        return _fast_loads(payload)
    from dspex_testkit.protocol import plain_json

    return plain_json.loads(payload)


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
    from dspex_testkit.protocol import plain_json

    return plain_json.dumps(value)
