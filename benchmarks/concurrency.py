"""Many at once, and many in all: throughput, overhead, memory, and lookups among many sessions."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
import psutil

from benchmarks.measure import Figure, compare, timed
from benchmarks.pipe import INPUTS, SIGNATURE, SPEC
from benchmarks.process import Child, bridge_arguments, request_frame
from dspex_testkit import MockLM
from dspex_testkit.bridge import Bridge, BridgeSettings
from dspex_testkit.bridge.signatures import parse_signature
from dspex_testkit.bridge.signatures.compiled import compile_signature
from dspex_testkit.protocol import Request

IN_FLIGHT = 256
LATENCY_S = 0.05
_EXECUTE = {"program_id": "qa", "inputs": INPUTS}


class Flooded(Child):
    """A standalone bridge that is sent everything at once."""

    def flood(self, frame: bytes, count: int) -> float:
        """Send the same request many times and wait for as many answers; gives the seconds that took."""
        started = time.perf_counter()
        writer = threading.Thread(target=self._write, args=(frame * count,))
        writer.start()
        data = b""
        while count:
            data += os.read(self._stdout, 1 << 20)
            while len(data) >= 4 and len(data) >= (end := 4 + int.from_bytes(data[:4], "big")):
                data, count = data[end:], count - 1
        writer.join()
        return time.perf_counter() - started

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._stdin, view) :]


def figures(launcher: Path, *, scale: float) -> Iterator[Figure]:
    """What concurrency, accounts, time and sessions cost."""
    yield from _throughput(launcher, scale=scale)
    yield _overhead(scale=scale)
    yield _memory(scale=scale)
    yield _lookup(scale=scale)


def _throughput(launcher: Path, *, scale: float) -> Iterator[Figure]:
    """Against one thread, which never waits for another, and against as many threads without a bridge."""
    count = max(IN_FLIGHT, int(10 * IN_FLIGHT * scale))
    raw, slow = timed(_raw_predict(), repeats=50), _raw_predict({**SPEC, "latency_ms": LATENCY_S * 1000})
    arguments = (*bridge_arguments(launcher, "standalone"), "--concurrency", str(IN_FLIGHT))
    with Flooded(*arguments) as bridge, ThreadPoolExecutor(IN_FLIGHT) as threads:
        bridge.ask("configure_lm", {"provider": "mock", **SPEC, "latency_ms": LATENCY_S * 1000})
        bridge.ask("create_program", {"id": "qa", "signature": SIGNATURE})
        bridge.ask("execute_program", _EXECUTE)
        frame = request_frame("execute_program", _EXECUTE)
        baselines: tuple[tuple[str, Callable[[], float], float], ...] = (
            (
                f"what is possible: {IN_FLIGHT} per 50 ms, or one `dspy.Predict` after the other",
                lambda: max(LATENCY_S / IN_FLIGHT, raw()),
                round(1 / 0.85, 2),
            ),
            (
                f"the same `dspy.Predict` in process, on {IN_FLIGHT} threads",
                lambda: _time_on(threads, slow, count) / count,
                1.15,
            ),
        )
        for against, run_baseline, aim in baselines:
            yield compare(
                f"time per execution, {IN_FLIGHT} in flight on an LM with 50 ms latency",
                against,
                run_subject=lambda: bridge.flood(frame, count) / count,
                run_baseline=run_baseline,
                rounds=max(1, int(7 * scale)),
                aim=aim,
            )


def _time_on(threads: ThreadPoolExecutor, work: Callable[[], Any], count: int) -> float:
    """The seconds that it takes to do something that many times, each thread going on as soon as it is free."""
    left = iter(range(count))

    def go_on() -> None:
        for _ in left:
            work()

    started = time.perf_counter()
    for future in [threads.submit(go_on) for _ in range(IN_FLIGHT)]:
        future.result()
    return time.perf_counter() - started


def _overhead(*, scale: float) -> Figure:
    bridge = _bridge()
    bridge.handle(Request(1, "set_budget", {"usd": 1000}))
    return compare(
        "`execute_program` in process, with journal, costs and a budget",
        "the same `dspy.Predict` on the same mock",
        run_subject=timed(_execute_on(bridge), repeats=20),
        run_baseline=timed(_raw_predict(), repeats=20),
        rounds=max(5, int(100 * scale)),
        aim=1.08,
    )


def _memory(*, scale: float) -> Figure:
    execute = _execute_on(_bridge(BridgeSettings(journal_size=1000)))
    process = psutil.Process()
    few, many = max(50, int(10_000 * scale)), max(100, int(100_000 * scale))
    for _ in range(few):
        execute()
    before = process.memory_info().rss
    for _ in range(many - few):
        execute()
    megabyte = 1 << 20
    return Figure(
        "memory after ten times as many executions, the journal bounded",
        "memory after 10,000, or fewer where the scale is smaller",
        process.memory_info().rss / megabyte,
        before / megabyte,
        1.02,
        1,
        unit="MB",
    )


def _lookup(*, scale: float) -> Figure:
    few, many = (_bridge_with_sessions(count) for count in (10, 10_000))
    request = Request(2, "get_lm", {"program_id": "qa", "session_id": "session 3"})
    return compare(
        "resolving an LM among 10,000 sessions",
        "among 10",
        run_subject=timed(lambda: many.handle(request), repeats=100),
        run_baseline=timed(lambda: few.handle(request), repeats=100),
        rounds=max(5, int(100 * scale)),
        aim=1.1,
    )


def _bridge(settings: BridgeSettings | None = None) -> Bridge:
    bridge = Bridge(settings)
    bridge.handle(Request(1, "configure_lm", {"provider": "mock", **SPEC}))
    bridge.handle(Request(1, "create_program", {"id": "qa", "signature": SIGNATURE}))
    return bridge


def _bridge_with_sessions(count: int) -> Bridge:
    bridge = _bridge()
    for number in range(count):
        bridge.handle(Request(1, "configure_lm", {"provider": "mock", **SPEC, "session_id": f"session {number}"}))
    return bridge


def _execute_on(bridge: Bridge) -> Callable[[], Any]:
    request = Request(2, "execute_program", _EXECUTE)

    def execute() -> Any:
        response = bridge.handle(request)
        assert response.success
        return response

    execute()
    return execute


def _raw_predict(spec: dict[str, Any] = SPEC) -> Callable[[], Any]:
    predict = dspy.Predict(compile_signature(parse_signature(SIGNATURE)).dspy_class())
    lm = MockLM.from_spec(spec)

    def call() -> Any:
        # The settings under which the bridge runs a program.
        with dspy.context(lm=lm, trace=[], disable_history=True):
            return predict(**INPUTS)

    call()
    return call
