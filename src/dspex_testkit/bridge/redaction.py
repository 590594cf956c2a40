"""Keeping keys out of what leaves the bridge."""

import threading
from typing import Any

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

    def scrub(self, value: Any) -> Any:
        """A text, or JSON with texts in it, without any known key."""
        with self._lock:
            secrets = sorted(self._values, key=len, reverse=True)
        return _scrub(value, secrets) if secrets else value


def _scrub(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, REDACTED)
        return value
    if isinstance(value, dict):
        return {name: _scrub(item, secrets) for name, item in value.items()}
    return [_scrub(item, secrets) for item in value] if isinstance(value, list) else value
