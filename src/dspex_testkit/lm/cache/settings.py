"""What a bridge was told about remembering answers."""

from dataclasses import dataclass
from typing import Literal

from dspex_testkit.setting_table import DEFAULTS


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Bounds of the response cache, and what holds for configs that say nothing."""

    mode: Literal["off", "memory", "disk"] = DEFAULTS["response_cache"]
    """What holds for configs that say nothing."""
    ttl_s: float | None = DEFAULTS["cache_ttl"]
    """Seconds for which an answer is remembered where a config says nothing; None without end."""
    max_bytes: int = DEFAULTS["cache_size"]
    """Of entries, in memory and on disk each; what was longest unused goes first."""
    folder: str = DEFAULTS["cache_dir"]
    """Where the disk's entries are."""
