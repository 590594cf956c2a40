"""Bridge processes, started as DSPex starts them and ended with the test."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.bridges import PATIENCE, Process
from tests.support.hosts import forget_shared_state

Start = Callable[..., Process]

GATED_DSPY = """
import os, subprocess, sys, time

print("noise from Python")
print("noise on stderr", file=sys.stderr)
os.write(1, b"noise below Python\\n")
os.system("echo noise from a child; echo noise on its stderr >&2")
while not os.path.exists(os.environ["GATE"]):
    time.sleep(0.005)
sys.path.remove(os.path.dirname(__file__))
del sys.modules["dspy"]
import dspy
"""
"""Stands before the real dspy on the search path: prints in every way there is, then waits until the gate is opened."""

SLEEPING_CODE = "import os, time\nopen({pid_file!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
"""What a mock lets `program_of_thought` run: a child process that would outlast every test."""


def until(condition: Callable[[], bool]) -> None:
    """Wait for what will surely come."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


@pytest.fixture(params=["standalone", "pool-worker"])
def mode(request: pytest.FixtureRequest) -> str:
    """Either mode of a bridge."""
    value: str = request.param
    return value


@pytest.fixture(autouse=True)
def host(request: pytest.FixtureRequest) -> str:
    """Whether bridges are forked from a host; a file says so where both ways are its subject."""
    return str(getattr(request, "param", "auto"))


@pytest.fixture
def start(mode: str, host: str) -> Iterator[Start]:
    """Starts a bridge process in the test's mode; a pool's worker finds nothing of the tests before."""
    if mode == "pool-worker":
        forget_shared_state()
    with ExitStack() as stack:

        def start(**options: Any) -> Process:
            env = {"DSPEX_TESTKIT_HOST": host, **options.pop("env", {})}
            return stack.enter_context(Process(**{"mode": mode, "env": env, **options}))

        yield start


class Gate:
    """Holds back the import of dspy."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "open"
        module = folder / "gated" / "dspy.py"
        module.parent.mkdir()
        module.write_text(GATED_DSPY, encoding="utf-8")
        inherited = os.environ.get("PYTHONPATH")
        self.env = {
            # A host would import behind the gate before there is a worker.
            "DSPEX_TESTKIT_HOST": "off",
            "GATE": str(self._path),
            "PYTHONPATH": os.pathsep.join([str(module.parent), *([inherited] if inherited else [])]),
        }

    def open(self) -> None:
        """Let the import go on."""
        self._path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gate that is shut."""
    return Gate(tmp_path)


class Busy:
    """A bridge in the middle of an execution that would take ten minutes."""

    def __init__(self, bridge: Process, child: psutil.Process) -> None:
        self.bridge = bridge
        self.child = child

    def assert_child_ends(self) -> None:
        """The process that the execution had started does not outlive the bridge."""
        until(lambda: not self.child.is_running() or self.child.status() == psutil.STATUS_ZOMBIE)


@pytest.fixture
def busy(start: Start, tmp_path: Path) -> Busy:
    """A bridge that executes, with the request's id 77 unanswered."""
    from dspex_testkit.protocol import Request

    pid_file = tmp_path / "child"
    bridge = start(env={"DSPEX_TESTKIT_ALLOW_LOCAL_INTERPRETER": "1"})
    answer = {"reasoning": "r", "generated_code": SLEEPING_CODE.format(pid_file=str(pid_file))}
    bridge.call("configure_lm", {"provider": "mock", "script": [answer]})
    bridge.call("create_program", {"id": "p", "signature": "question -> answer", "program_type": "program_of_thought"})
    bridge.send(Request(77, "execute_program", {"program_id": "p", "inputs": {"question": "q"}}))
    until(lambda: pid_file.exists() and pid_file.read_text(encoding="utf-8") != "")
    return Busy(bridge, psutil.Process(int(pid_file.read_text(encoding="utf-8"))))
