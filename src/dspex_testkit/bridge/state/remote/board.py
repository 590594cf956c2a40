"""A few numbers in memory that a host shares with the workers it forks.

Asking another process whether a program still is what it was would cost more than running a mock. So the host counts
here each change of what workers remember, before it answers whoever made the change, and a worker looks.
"""

import mmap

_CELLS = 2
_GENERATION, _EPOCH = range(_CELLS)


class Board:
    """Shared memory that only the host writes and all workers read; made before the first fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        # Aligned words: a reader sees the old number or the new one, never half of each.
        self._cells = memoryview(self._memory).cast("Q")

    @property
    def generation(self) -> int:
        """How often something changed that workers remember."""
        return self._cells[_GENERATION]

    @property
    def epoch(self) -> int:
        """How often some pool's state was forgotten."""
        return self._cells[_EPOCH]

    def show(self, *, resets: int = 0) -> None:
        """Say that something has changed, and whether a pool's state was forgotten."""
        self._cells[_EPOCH] += resets
        self._cells[_GENERATION] += 1
