"""JSON between a launcher and its host, by the C half of `json`.

The Python half imports `re` for error messages and numbers, which takes longer than everything else that a launcher
does. What is read here was written here, by a process of the same user and the same Python.
"""

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Plain:
    """What the scanner wants to know: nothing is to be made of anything."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _refuse(value: object) -> "Any":
    raise TypeError(f"{type(value).__name__} has no JSON form")


# Escaped to ASCII, because a variable may hold bytes that are no text.
_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, True)
_scan = make_scanner(_Plain)  # type: ignore[arg-type]  # it takes whatever has these attributes


def dumps(value: object) -> bytes:
    """Write one JSON text.

    Raises:
        TypeError: A value in it has no JSON form.
    """
    return "".join(_encode(value, 0)).encode("ascii")


def loads(payload: bytes) -> "Any":
    """Read one JSON text.

    Raises:
        ValueError: It is none.
    """
    try:
        return _scan(payload.decode("ascii"), 0)[0]
    except StopIteration:
        raise ValueError("not JSON") from None
