"""What the pytest plugin adds to a run, and what a second worker adds to a pool."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measure import Figure, compare
from dspex_testkit.pool import BridgePool, Launch
from dspex_testkit.pool.warm import WarmStarter

EXECUTION = {"program_id": "qa", "inputs": {"question": "What is the capital of France?"}}
MOCK = {"provider": "mock", "responses": {"default": "Paris"}}


def figures(*, scale: float) -> Iterator[Figure]:
    """The figures of the test harness."""
    yield _plugin(max(3, round(15 * scale)))
    yield _pools(max(2, round(15 * scale)), executions=max(8, round(400 * scale)))


def _plugin(rounds: int) -> Figure:
    """An empty run, so that nothing is counted but what is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_nothing.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")

        def run(*options: str) -> float:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
            env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            started = time.perf_counter()
            subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - started

        return compare(
            "an empty pytest run with the plugin",
            "without it",
            run_subject=lambda: run("-p", "dspex_testkit.plugin"),
            run_baseline=run,
            rounds=rounds,
            aim=1.25,
        )


def _pools(rounds: int, *, executions: int) -> Figure:
    """The same executions, asked for by as many threads as the pool has workers."""
    launch = Launch(starter=WarmStarter())
    with (
        BridgePool(1, launch=launch, eager=True) as one,
        BridgePool(2, launch=launch, eager=True) as two,
        ThreadPoolExecutor(2) as threads,
    ):
        for pool in (one, two):  # they share no state
            pool.call("create_program", {"id": "qa", "signature": "question -> answer", "lm_config": MOCK})

        def run(pool: BridgePool, callers: int) -> float:
            def ask() -> None:
                for _ in range(executions // callers):
                    pool.call("execute_program", EXECUTION)

            started = time.perf_counter()
            for future in [threads.submit(ask) for _ in range(callers)]:
                future.result()
            return time.perf_counter() - started

        run(one, 1), run(two, 2)
        return compare(
            "the same number of executions on one worker",
            "on a pool of two",
            run_subject=lambda: run(one, 1),
            run_baseline=lambda: run(two, 2),
            rounds=rounds,
            aim=1.8,
            at_least=True,
        )
