"""What the pipe, the protocol and the bridge add to a call."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy

from benchmarks.measure import Figure, compare, timed
from benchmarks.process import Child, bridge_arguments, request_frame
from dspex_testkit import MockLM
from dspex_testkit.bridge.signatures import parse_signature
from dspex_testkit.bridge.signatures.compiled import compile_signature

SIGNATURE = {
    "name": "BasicQA",
    "description": "Answer questions with short factual answers",
    "inputs": [{"name": "question", "type": "string"}],
    "outputs": [{"name": "answer", "type": "string"}],
}
SPEC = {"mode": "deterministic", "responses": {"What is the capital of France?": "Paris", "default": "mock response"}}
INPUTS = {"question": "What is the capital of France?"}

# Answers every read with as many bytes as it was told to; the least that a Python process can do.
_ECHO = """
import os, sys
size = int(sys.argv[1])
reply = size.to_bytes(4, "big") + bytes(size)
while os.read(0, 65536):
    os.write(1, reply)
"""


def figures(launcher: Path, *, scale: float) -> Iterator[Figure]:
    """Round trips of `ping` and `execute_program`, in both modes."""
    for mode in ("standalone", "pool-worker"):
        with Child(*bridge_arguments(launcher, mode)) as bridge:
            _prepare(bridge)
            yield _ping(bridge, mode, scale=scale)
            yield from _execute(bridge, mode, scale=scale)


def _prepare(bridge: Child) -> None:
    """Have everything imported, built and answered once, so that only the steady state is measured."""
    bridge.ask("configure_lm", {"provider": "mock", **SPEC})
    bridge.ask("create_program", {"id": "qa", "signature": SIGNATURE})
    result = bridge.ask("execute_program", {"program_id": "qa", "inputs": INPUTS})
    assert result["outputs"] == {"answer": "Paris"}


def _ping(bridge: Child, mode: str, *, scale: float) -> Figure:
    request = request_frame("ping", {})
    reply = bridge.exchange(request)
    with Child("-c", _ECHO, str(len(reply) - 4)) as echo:
        return compare(
            f"round trip of `ping`, {mode}",
            "round trip to a Python process that reads and writes as many bytes",
            run_subject=timed(lambda: bridge.exchange(request), repeats=20),
            run_baseline=timed(lambda: echo.exchange(request), repeats=20),
            rounds=max(5, int(500 * scale)),
            aim=2.0,
        )


def _execute(bridge: Child, mode: str, *, scale: float) -> Iterator[Figure]:
    request = request_frame("execute_program", {"program_id": "qa", "inputs": INPUTS})
    predict = dspy.Predict(compile_signature(parse_signature(SIGNATURE)).dspy_class())
    lm = MockLM.from_spec(SPEC)

    def through_the_pipe() -> Any:
        return bridge.exchange(request)

    def in_process() -> Any:
        # The settings under which the bridge runs a program: what is left is the bridge's own share.
        with dspy.context(lm=lm, trace=[], disable_history=True):
            return predict(**INPUTS)

    assert in_process().answer == "Paris"
    baseline = "the same `dspy.Predict` in process, on the same mock"
    yield compare(
        f"`execute_program` through the pipe, {mode}",
        baseline,
        run_subject=timed(through_the_pipe, repeats=5),
        run_baseline=timed(in_process, repeats=5),
        rounds=max(5, int(300 * scale)),
        aim=1.05,
    )
    if sys.platform == "linux":
        yield compare(
            f"CPU time of the bridge for it, {mode}",
            baseline,
            run_subject=timed(through_the_pipe, repeats=50, clock=bridge.cpu_seconds),
            run_baseline=timed(in_process, repeats=50, clock=time.process_time),
            rounds=max(5, int(30 * scale)),
            aim=1.05,
        )
