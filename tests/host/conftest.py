"""Bridges behind a host, with nothing in what they share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.bridges import Process
from tests.support.hosts import forget_shared_state

Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts bridges of this process, pool workers unless told otherwise."""
    forget_shared_state()
    with ExitStack() as stack:

        def start(**options: Any) -> Process:
            return stack.enter_context(Process(**{"mode": "pool-worker", **options}))

        yield start
    forget_shared_state()


@pytest.fixture
def pair(start: Start) -> tuple[Process, Process]:
    """Two workers of one pool."""
    return start(worker_id="worker_1"), start(worker_id="worker_2")
