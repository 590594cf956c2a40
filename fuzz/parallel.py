"""Several attacks at the same time: the work is that of the bridges, in processes of their own."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(things: Iterable[T], attack: Callable[[T], R], *, at_once: int = 2) -> Iterator[tuple[T, R]]:
    """What came of the attack on each thing, in order."""
    things = list(things)
    with ThreadPoolExecutor(at_once) as threads:
        yield from zip(things, threads.map(attack, things), strict=True)
