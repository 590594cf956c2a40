"""Names of cassettes' files. Importing this costs nothing."""

import hashlib
import re

_LONGEST = 120
"""Characters of a name; file systems allow 255 bytes, and sessions add theirs."""

_SHORTENED = re.compile(rf".{{{_LONGEST}}}-[0-9a-f]{{8}}")
"""A name that was too long; it is not shortened once more."""


def as_name(text: str) -> str:
    """A text as a part of a file's name, another one for each other text."""
    name = re.sub(r"[^\w.\[\]=+,-]+", "-", text).strip(".-") or "cassette"
    if name == text and (len(name) <= _LONGEST or _SHORTENED.fullmatch(name)):
        return name
    return f"{name[:_LONGEST]}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def file_name(test: str) -> str:
    """The file of a test's cassette: ``<test>.yaml``."""
    return f"{as_name(test)}.yaml"
