"""Keeping keys out of what leaves the bridge."""

import threading

_SHORTEST = 6
"""Shorter values ("key", "test") are no secrets, and would be cut out of ordinary words."""

REDACTED = "[redacted]"


class Secrets:
    """The keys that clients have named. A provider's error may quote one; no answer of ours does."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        """Learn a key."""
        if len(value) >= _SHORTEST:
            with self._lock:
                self._values.add(value)

    def scrub(self, text: str) -> str:
        """The text without any known key in it."""
        with self._lock:
            values = sorted(self._values, key=len, reverse=True)
        for value in values:
            text = text.replace(value, REDACTED)
        return text
