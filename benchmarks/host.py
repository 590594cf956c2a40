"""What forking bridges from a warm host saves: time until they answer, and memory."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import dspy
import psutil

from benchmarks.measure import Figure, compare, timed
from benchmarks.pipe import INPUTS, SIGNATURE, SPEC
from benchmarks.process import Child, bridge_arguments, clean_environment, request_frame
from dspex_testkit import MockLM
from dspex_testkit.bridge.signatures import parse_signature
from dspex_testkit.bridge.signatures.compiled import compile_signature
from dspex_testkit.host import start_worker

_PING = request_frame("ping", {"initialization": True, "worker_id": "worker_1_1"})
_COLD = (
    "import sys, dspy; from dspex_testkit.launch.main import main; "
    "main(['--mode', 'pool-worker', '--worker-id', 'worker_1_1'])"
)
_COLD_NAME = "a cold process that imports dspy at its start"
_MEGABYTE = "one megabyte"
_WORKERS = 8
_TESTS = 100


class Forked(Child):
    """A bridge forked for this very process, without a launcher."""

    def __init__(self, launcher: Path) -> None:
        argv = [sys.executable, *bridge_arguments(launcher, "pool-worker")]
        self._worker = start_worker(argv, env=_warm_environment())
        self._stdin, self._stdout = self._worker.stdin, self._worker.stdout

    @property
    def pid(self) -> int:
        """The process that answers."""
        return self._worker.pid

    def __exit__(self, *_: object) -> None:
        os.close(self._stdin)
        status = self._worker.wait(10)
        os.close(self._stdout)
        assert status == 0


class Launched(Child):
    """A bridge behind the launcher that DSPex starts.

    Args:
        launcher: The installed file.
        host: Whether the bridge is forked from the host.
    """

    def __init__(self, *arguments: str, host: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_warm_environment() if host else clean_environment(),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()

    @property
    def pid(self) -> int:
        """The process that DSPex sees."""
        return self._process.pid


Start = Callable[[], Child]


def figures(launcher: Path, *, scale: float) -> Iterator[Figure]:
    """Time and memory of bridges from a host that runs already."""

    def launched() -> Child:
        return Launched(*bridge_arguments(launcher, "pool-worker"), host=True)

    def forked() -> Child:
        return Forked(launcher)

    def cold() -> Child:
        return Launched("-c", _COLD, host=False)

    with forked() as first:
        first.exchange(_PING)  # the host's own start is nobody's second worker
        rounds = max(3, int(20 * scale))
        for name, start, ping_aim, execute_aim in (
            ("through the launcher", launched, 25, 20),
            ("without a launcher", forked, 200, 80),
        ):
            for what, use, aim in (("first ping", _ping, ping_aim), ("first execution", _execute, execute_aim)):
                yield compare(
                    _COLD_NAME,
                    f"a forked worker {name}, {what}",
                    run_subject=_until(cold, use),
                    run_baseline=_until(start, use),
                    rounds=rounds,
                    aim=aim,
                    at_least=True,
                )
        yield compare(
            f"{_WORKERS} cold processes",
            f"{_WORKERS} forked workers, ready",
            run_subject=_until_all_ready(cold),
            run_baseline=_until_all_ready(forked),
            rounds=max(1, int(5 * scale)),
            aim=100,
            at_least=True,
        )
        yield _fresh_bridges(forked, cold, scale=scale)
        yield _overhead(forked, scale=scale)
        yield from _memory(launched, forked, scale=scale)


def _warm_environment() -> dict[str, str]:
    return {**clean_environment(), "DSPEX_TESTKIT_HOST": "auto"}


def _ping(bridge: Child) -> None:
    bridge.exchange(_PING)


def _execute(bridge: Child) -> None:
    bridge.exchange(_PING)
    bridge.ask("create_program", {"id": "qa", "signature": SIGNATURE, "lm_config": {"provider": "mock", **SPEC}})
    result = bridge.ask("execute_program", {"program_id": "qa", "inputs": INPUTS})
    assert result["outputs"] == {"answer": "Paris"}


def _until(start: Start, use: Callable[[Child], None]) -> Callable[[], float]:
    def run() -> float:
        started = time.perf_counter()
        with start() as bridge:
            use(bridge)
            return time.perf_counter() - started

    return run


def _until_all_ready(start: Start) -> Callable[[], float]:
    def run() -> float:
        with ExitStack() as stack:
            started = time.perf_counter()
            bridges = [stack.enter_context(start()) for _ in range(_WORKERS)]
            for bridge in bridges:
                bridge.exchange(_PING)
            return time.perf_counter() - started

    return run


def _fresh_bridges(forked: Start, cold: Start, *, scale: float) -> Figure:
    """A bridge for each test, started, used and ended."""
    tests = max(3, int(_TESTS * scale))

    def each(start: Start) -> Callable[[], float]:
        def run() -> float:
            started = time.perf_counter()
            with start() as bridge:
                _execute(bridge)
            return time.perf_counter() - started

        return run

    return compare(
        f"{_TESTS} tests with a cold process each",
        f"{_TESTS} tests with a forked worker each, started, used and ended",
        run_subject=each(cold),
        run_baseline=each(forked),
        rounds=tests,
        aim=40,
        at_least=True,
    )


def _overhead(forked: Start, *, scale: float) -> Figure:
    """CPU time of a worker whose state is in the host."""
    request = request_frame("execute_program", {"program_id": "qa", "inputs": INPUTS})
    predict = dspy.Predict(compile_signature(parse_signature(SIGNATURE)).dspy_class())
    lm = MockLM.from_spec(SPEC)

    def in_process() -> Any:
        with dspy.context(lm=lm, trace=[], disable_history=True):
            return predict(**INPUTS)

    in_process()
    with forked() as bridge:
        assert isinstance(bridge, Forked)
        _execute(bridge)
        pid = bridge.pid
        return compare(
            "CPU time of a forked worker for `execute_program`, its pool's state in the host",
            "the same `dspy.Predict` in process, on the same mock",
            run_subject=timed(lambda: bridge.exchange(request), repeats=50, clock=lambda: _cpu_seconds(pid)),
            run_baseline=timed(in_process, repeats=50, clock=time.process_time),
            rounds=max(5, int(30 * scale)),
            aim=1.05,
        )


def _memory(launched: Start, forked: Start, *, scale: float) -> Iterator[Figure]:
    """Memory that nobody else would need if one worker were not there."""
    executions = max(1, int(200 * scale))
    request = request_frame("execute_program", {"program_id": "qa", "inputs": INPUTS})
    with ExitStack() as stack:
        workers = [stack.enter_context(forked()) for _ in range(_WORKERS)]
        pids = []
        for worker in workers:
            assert isinstance(worker, Forked)
            worker.exchange(_PING)
            pids.append(worker.pid)
        yield _megabytes("an idle forked worker", pids, aim=3)
        for worker in workers:
            _execute(worker)
            for _ in range(executions):
                worker.exchange(request)
        yield _megabytes("a forked worker after 200 executions", pids, aim=10)
    with launched() as bridge:
        assert isinstance(bridge, Launched)
        bridge.ask("get_stats", {})
        yield _megabytes("the launcher in front of one", [bridge.pid], aim=8)


def _megabytes(what: str, pids: list[int], *, aim: float) -> Figure:
    used = median(psutil.Process(pid).memory_full_info().uss for pid in pids) / 1e6
    return Figure(f"memory of its own (USS) of {what}", _MEGABYTE, used, 1.0, aim, len(pids), unit="MB")


def _cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9
