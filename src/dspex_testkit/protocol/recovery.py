r"""Find the id of a request whose JSON is broken, so that its sender need not wait out a timeout.

A wrong id is worse than none, because it would answer somebody else's request: an ``"id"`` among the arguments is
not the request's. So the text is walked with its braces and strings counted, and only an id on the outermost level
counts. Two shapes are trusted beyond that: the tail every Elixir encoder writes, ``"id":N,"timestamp":"…"}``, and,
where a stray quote makes counting impossible, an id that is the only one in the whole text.
"""

import re

_WALKED = 64 * 1024
"""Bytes that are walked; an id further in is left to the tail rule."""

_TOKEN = re.compile(rb'"id"\s*:\s*(-?\d{1,30})\s*(?=[,}])|"(?:[^"\\]|\\.)*"|[{}\[\]"]', re.DOTALL)
_TAIL = re.compile(rb'"id"\s*:\s*(-?\d{1,30})\s*,\s*"timestamp"\s*:\s*"[^"\\]{0,64}"\s*\}\s*\Z')
_ANY = re.compile(rb'"id"\s*:\s*')
_ONLY = re.compile(rb'"id"\s*:\s*(-?\d{1,30})\s*(?=[,}])')


def recover_id(head: bytes, tail: bytes = b"") -> int | None:
    """Make out the integer id of a broken request.

    Args:
        head: The text, or its beginning where the rest is lost.
        tail: Its end where the middle is lost.

    Returns:
        The id, or None where there is none or more than one would do.
    """
    found, counted = _walk(head[:_WALKED])
    if len(found) == 1:
        return found.pop()
    if len(found) > 1:
        return None
    if match := _TAIL.search((tail or head)[-256:]):
        return int(match[1])
    if counted or tail:
        return None
    if len(_ANY.findall(head)) == 1 and (match := _ONLY.search(head)):
        return int(match[1])
    return None


def _walk(text: bytes) -> tuple[set[int], bool]:
    """Ids on the outermost level, and whether the level of everything is known."""
    found: set[int] = set()
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
            if depth <= 0:
                return found, True
        elif token == b'"':
            return found, False
        elif match[1] is not None and depth == 1:
            found.add(int(match[1]))
    return found, True
