"""What was found out about texts, remembered: a program's instructions come with every call."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, TypeVar

Found = TypeVar("Found")

LONGEST_REMEMBERED: Final = 32_768
"""Characters. Instructions are shorter; pictures and documents are longer, and a few hundred would be gigabytes."""


def remembering_texts(find_out: Callable[[str], Found]) -> Callable[[str], Found]:
    """A function of a text that remembers the last texts which are not very long."""
    remembered = lru_cache(maxsize=256)(find_out)

    @wraps(find_out)
    def found(text: str) -> Found:
        return remembered(text) if len(text) <= LONGEST_REMEMBERED else find_out(text)

    return found
