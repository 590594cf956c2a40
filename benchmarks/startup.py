"""How soon a bridge that was just started answers its first ping."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure, compare
from benchmarks.process import Child, bridge_arguments, clean_environment, request_frame

_INIT_PING = request_frame("ping", {"initialization": True, "worker_id": "worker_1_1"})


def figures(launcher: Path, *, scale: float) -> Iterator[Figure]:
    """First ping of a cold process, in both modes, against an interpreter that does nothing."""
    for mode in ("standalone", "pool-worker"):
        arguments = bridge_arguments(launcher, mode)

        def first_ping(arguments: tuple[str, ...] = tuple(arguments)) -> float:
            started = time.perf_counter()
            with Child(*arguments) as bridge:
                bridge.exchange(_INIT_PING)
                return time.perf_counter() - started

        yield compare(
            f"first ping of a cold process, {mode}",
            "`python -c pass`, start to end",
            run_subject=first_ping,
            run_baseline=_bare_interpreter,
            rounds=max(3, int(40 * scale)),
            aim=2.5,
        )


def _bare_interpreter() -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "pass"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=clean_environment(),
        check=True,
    )
    return time.perf_counter() - started
