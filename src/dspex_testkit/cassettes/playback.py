"""`Playback`: which recording answers the next request of its kind, and which were played."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

Exhausted = Literal["error", "last", "cycle"]
"""What the next equal request gets after the last recording of it was played."""


class Playback:
    """Which recording answers next, by request; equal requests in recorded order. Not thread-safe.

    Args:
        keys: Of each recording, in order: equal ones answer the same request.
        exhausted: What comes after the last recording of a request.
    """

    def __init__(self, keys: Sequence[bytes], exhausted: Exhausted = "error") -> None:
        self._exhausted = exhausted
        self._count = len(keys)
        self._at: dict[bytes, list[int]] = defaultdict(list)
        for position, key in enumerate(keys):
            self._at[key].append(position)
        self._next: dict[bytes, int] = defaultdict(int)
        self._again: dict[tuple[bytes, ...], int] = defaultdict(int)
        self.played: set[int] = set()
        """Positions of recordings that were taken."""

    @property
    def unplayed(self) -> tuple[int, ...]:
        """Positions of the others, in order."""
        return tuple(position for position in range(self._count) if position not in self.played)

    def recordings_of(self, *keys: bytes) -> int:
        """How many recordings there are of a request."""
        return sum(len(self._at.get(key, ())) for key in dict.fromkeys(keys))

    def take(self, *keys: bytes) -> int | None:
        """The position of the recording that answers the next request of these keys; None where there is none."""
        known = tuple(key for key in dict.fromkeys(keys) if key in self._at)
        if not known:
            return None
        waiting = [(self._at[key][self._next[key]], key) for key in known if self._next[key] < len(self._at[key])]
        if waiting:
            position, key = min(waiting)
            self._next[key] += 1
            self.played.add(position)
            return position
        if self._exhausted == "error":
            return None
        every = sorted(position for key in known for position in self._at[key])
        if self._exhausted == "last":
            return every[-1]
        self._again[known] += 1
        return every[(self._again[known] - 1) % len(every)]
