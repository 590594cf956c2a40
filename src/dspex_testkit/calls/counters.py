"""Counters: the only state that an engine has (the position in a script, uses of a rule, a fault's index)."""

import threading
from collections import Counter
from typing import Any, Protocol


class Counters(Protocol):
    """Named counters that belong to one assignment of an LM config.

    A bridge backs them with state that its workers share; an LM used alone has a `LocalCounters`.
    """

    def next_index(self, key: str) -> int:
        """Fetch and increment, atomically; the first answer is 0."""
        ...


class LocalCounters:
    """Counters in this process. A deep copy shares them, as optimizers copy programs that must not start anew."""

    def __init__(self) -> None:
        self._next: Counter[str] = Counter()
        self._lock = threading.Lock()

    def next_index(self, key: str) -> int:
        """Fetch and increment, atomically; the first answer is 0."""
        with self._lock:
            index = self._next[key]
            self._next[key] += 1
            return index

    def reset(self) -> None:
        """Let every counter start at 0 again."""
        with self._lock:
            self._next.clear()

    def __copy__(self) -> "LocalCounters":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "LocalCounters":
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"next": dict(self._next)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._next = Counter(state["next"])
        self._lock = threading.Lock()
