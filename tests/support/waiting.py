"""Waiting for what will surely come."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], *, within: float = 60.0) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It does not, for longer than any machine should take.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not so within {within} s")
        time.sleep(0.005)
