"""Pictures, sound and files in a prompt: not looked at, and yet told apart."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

# Where the providers' blocks, and DSPy's canonical parts, keep what they show or where it lies.
_SOURCES: Final = (
    "image_url",
    "input_audio",
    "file",
    "source",
    "inlineData",
    "fileData",
    "url",
    "data",
    "file_data",
    "fileUri",
    "file_uri",
    "file_id",
    "path",
)


_MARK: Final = re.compile(r"\[media [0-9a-f]{12}\]")


def media_mark(kind: str, block: Mapping[str, Any]) -> str:
    """What stands in a text for something else: equal for equal contents, whichever provider's block holds them."""
    found = _source(block)
    if found is None:
        return f"[{kind}]"
    _, is_data_url, encoded = found.partition(";base64,")
    content = encoded if is_data_url and found.startswith("data:") else found
    return f"[media {hashlib.blake2b(content.encode(), digest_size=6).hexdigest()}]"


def without_marks(text: str) -> tuple[str, list[str]]:
    """A text without its marks, and those."""
    return _MARK.sub("", text), _MARK.findall(text)


def _source(block: Mapping[str, Any]) -> str | None:
    for key in _SOURCES:
        value = block.get(key)
        found = _source(value) if isinstance(value, Mapping) else value
        if isinstance(found, str) and found:
            return found
    return None
