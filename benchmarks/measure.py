"""Taking turns: how two things are timed so that the machine's moods hit both alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison and how it came out."""

    subject: str
    """What is measured."""
    baseline: str
    """What it is measured against."""
    subject_ms: float
    baseline_ms: float
    aim: float
    """The largest ratio that we want to see, or the smallest."""
    rounds: int
    at_least: bool = False
    """Whether the subject is what is to be worse."""
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """Subject over baseline, of the medians."""
        return self.subject_ms / self.baseline_ms

    @property
    def reached(self) -> bool:
        """Whether the ratio is on the right side of the aim."""
        return self.ratio >= self.aim if self.at_least else self.ratio <= self.aim

    @property
    def shown_aim(self) -> str:
        """The aim as a person would write it."""
        return f"{'≥' if self.at_least else '≤'} {self.aim:g}"


def compare(
    subject: str,
    baseline: str,
    *,
    run_subject: Callable[[], float],
    run_baseline: Callable[[], float],
    rounds: int,
    aim: float,
    at_least: bool = False,
) -> Figure:
    """Run both in turns, the order swapped each round, and compare the medians.

    Args:
        subject: Its name in the report.
        baseline: Its name in the report.
        run_subject: Does it once and returns how long that took, in seconds.
        run_baseline: The same for what it is compared with.
        rounds: How often each is done.
        aim: The largest ratio that we want to see.
        at_least: It is the smallest one.
    """
    taken: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds):
        for is_subject in (True, False) if number % 2 else (False, True):
            taken[is_subject].append(run_subject() if is_subject else run_baseline())
    return Figure(subject, baseline, median(taken[True]) * 1e3, median(taken[False]) * 1e3, aim, rounds, at_least)


def timed(
    work: Callable[[], object], *, repeats: int = 1, clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    """The function that does `work` and returns the seconds, by `clock`, that one of `repeats` took."""

    def run() -> float:
        started = clock()
        for _ in range(repeats):
            work()
        return (clock() - started) / repeats

    return run
