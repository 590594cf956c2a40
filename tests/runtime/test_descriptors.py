"""Descriptor 1 belongs to frames; whatever else is printed goes to the log or nowhere."""

import os
from pathlib import Path

import pytest

from tests.runtime.conftest import Busy, Gate, Start
from tests.support.bridges import Process

NOISE = ["noise from Python", "noise below Python", "noise from a child", "noise on stderr", "noise on its stderr"]
SECRET = "sk-do-not-tell-4242"

pytestmark = pytest.mark.parametrize("host", ["auto", "off"], indirect=True)


def execute(bridge: Process) -> None:
    """Have everything imported, and with it the library that prints."""
    lm = {"provider": "openai", "model": "gpt-4", "api_key": SECRET, "mock": {"responses": {"default": "Paris"}}}
    bridge.call("configure_lm", lm)
    result = bridge.call("predict", {"signature": "question -> answer", "inputs": {"question": "?"}})
    assert result["outputs"] == {"answer": "Paris"}


def test_stray_prints_reach_neither_the_frames_nor_stderr(start: Start, gate: Gate) -> None:
    """Python's, a child's, and those that bypass Python."""
    gate.open()
    bridge = start(env=gate.env)
    execute(bridge)
    bridge.call("shutdown")
    assert bridge.end() == (0, "")


def test_stray_prints_land_in_the_log(start: Start, gate: Gate, tmp_path: Path) -> None:
    """Where one is asked for; and a key is in none of its lines."""
    gate.open()
    log = tmp_path / "bridge.log"
    bridge = start(env={**gate.env, "DSPEX_TESTKIT_LOG": str(log), "DSPEX_TESTKIT_LOG_LEVEL": "debug"})
    execute(bridge)
    bridge.ask("configure_lm", {"provider": "openai", "api_key": SECRET, "nonsense": [SECRET]})
    bridge.call("shutdown")
    assert bridge.end() == (0, "")
    text = log.read_text(encoding="utf-8")
    assert [line for line in NOISE if line not in text] == []
    assert "Request(id=1, command='configure_lm')" in text
    assert SECRET not in text
    assert log.stat().st_mode & 0o777 == 0o600


def test_stderr_is_used_when_asked_for(start: Start, gate: Gate) -> None:
    """For a run by hand."""
    gate.open()
    bridge = start(env={**gate.env, "DSPEX_TESTKIT_LOG": "stderr"})
    execute(bridge)
    bridge.call("shutdown")
    status, stderr = bridge.end()
    assert status == 0
    assert [line for line in NOISE if line not in stderr] == []


PRINTING = """
import sys

def answer(call):
    print("Größe, printed by a program" * 1000)
    print("and by its error stream", file=sys.stderr, flush=True)
    sys.stdout.flush()
    return "well"
"""


def test_a_log_that_cannot_be_written_stops_no_print(start: Start, tmp_path: Path) -> None:
    """A program that prints goes on, be the log's disk full; nothing is lost but the lines."""
    (tmp_path / "printing.py").write_text(PRINTING, encoding="utf-8")
    inherited = os.environ.get("PYTHONPATH")
    env = {
        "DSPEX_TESTKIT_LOG": "/dev/full",
        "DSPEX_TESTKIT_ALLOW_IMPORT": "printing",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *([inherited] if inherited else [])]),
        "PYTHONIOENCODING": "ascii:strict",
    }
    bridge = start(env=env)
    bridge.call("configure_lm", {"provider": "mock", "function": "printing:answer"})
    result = bridge.call("predict", {"signature": "question -> answer", "inputs": {"question": "?"}})
    assert result["outputs"] == {"answer": "well"}
    bridge.call("shutdown")
    assert bridge.end() == (0, "")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only /proc shows another process's descriptors")
def test_a_child_process_holds_neither_end_of_the_frames(busy: Busy) -> None:
    """A child that outlived the bridge would keep the port open, and one that prints would shift a frame."""
    assert busy.bridge.process.stdout is not None
    frames = Path(f"/proc/self/fd/{busy.bridge.process.stdout.fileno()}").readlink()
    bridge = Path(f"/proc/{busy.child.ppid()}/fd")
    held = {fd.readlink() for fd in Path(f"/proc/{busy.child.pid}/fd").iterdir()}
    assert frames in {fd.readlink() for fd in bridge.iterdir()}
    assert frames not in held
    assert {str((bridge / fd).readlink()) for fd in "012"} == {"/dev/null"}
