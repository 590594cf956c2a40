"""Counters: the only state that an engine has (the position in a script, uses of a rule, a fault's index)."""

import threading
from collections import Counter, OrderedDict
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


class CountersByLM:
    """The counters of each assignment of an LM config, by its id; thread-safe.

    Args:
        most: How many are kept; those that were longest unused go first.
    """

    def __init__(self, *, most: int = 4096) -> None:
        self._most = most
        self._kept: OrderedDict[str, LocalCounters] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, lm_id: str) -> LocalCounters:
        """The counters of one assignment, begun on first use."""
        with self._lock:
            found = self._kept.get(lm_id)
            if found is None:
                found = self._kept[lm_id] = LocalCounters()
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(lm_id)
            return found

    def forget(self, lm_id: str) -> None:
        """Let what an assignment counted go."""
        with self._lock:
            self._kept.pop(lm_id, None)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._kept.clear()
