"""`Memory`: what a worker need not ask the store again."""

import time
from collections.abc import Callable
from typing import Any

from dspex_testkit.bridge.state.remote.board import Board

_MOST_REMEMBERED = 4096


class Memory:
    """What a worker remembers of answers: until the board says that something changed, and not for long.

    Args:
        board: Says whether what was remembered still holds.
        seconds: For how long it is remembered, so that the store sees that a session is in use.
    """

    def __init__(self, board: Board, seconds: float) -> None:
        self._board = board
        self._seconds = seconds
        self._known: dict[tuple[Any, ...], tuple[int, float, Any]] = {}

    def recall(self, key: tuple[Any, ...], ask: Callable[[], Any]) -> Any:
        """What was answered before, or is answered now."""
        # Read before asking: an answer may be newer than it says, never older.
        generation, now = self._board.generation, time.monotonic()
        known = self._known.get(key)
        if known is not None and known[0] == generation and now < known[1]:
            return known[2]
        value = ask()
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[key] = generation, now + self._seconds, value
        return value
