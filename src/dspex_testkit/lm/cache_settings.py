"""What a bridge was told about remembering answers."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Bounds of the response cache, and what holds for configs that say nothing."""

    mode: Literal["off", "memory", "disk"] = "off"
    """What holds for configs that say nothing."""
    ttl_s: float | None = None
    """Seconds for which an answer is remembered where a config says nothing; None without end."""
    max_bytes: int = 64 * 1024 * 1024
    """Of entries, in memory and on disk each; what was longest unused goes first."""
    folder: str = "~/.cache/dspex-testkit/responses"
    """Where the disk's entries are."""
