"""Waiting for what will surely come, with a bound."""

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds that a test waits for what will surely come, on a machine that is busy."""


def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until a condition holds; fails if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.005)
