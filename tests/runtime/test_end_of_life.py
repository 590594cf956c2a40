"""Whatever a client does to end a bridge, it ends with status 0, silent, with nothing left behind."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from dspex_testkit.protocol import Request, encode_frame, encode_request, frame_header
from tests.runtime.conftest import Busy, Start
from tests.support.bridges import PATIENCE, Process

pytestmark = pytest.mark.parametrize("host", ["auto", "off"], indirect=True)


def close_input(bridge: Process) -> None:
    """What a port does to stdin when it closes."""
    assert bridge.process.stdin is not None
    bridge.process.stdin.close()


def close_port(bridge: Process) -> None:
    """What a port does when its owner ends."""
    close_input(bridge)
    assert bridge.process.stdout is not None
    bridge.process.stdout.close()


def terminate(bridge: Process) -> None:
    """What a reaper does first."""
    bridge.process.send_signal(signal.SIGTERM)


def interrupt(bridge: Process) -> None:
    """What `kill -INT` does."""
    bridge.process.send_signal(signal.SIGINT)


End = Callable[[Process], None]
ENDINGS: list[End] = [close_input, close_port, terminate, interrupt]


@pytest.mark.parametrize("end", ENDINGS)
def test_an_idle_bridge_ends_quietly(start: Start, end: End) -> None:
    """Status 0 and nothing on stderr."""
    bridge = start()
    bridge.call("ping")
    end(bridge)
    assert bridge.end() == (0, "")


@pytest.mark.parametrize("end", ENDINGS)
def test_a_bridge_ends_in_the_middle_of_an_execution(busy: Busy, end: End) -> None:
    """The execution would take ten minutes; neither it nor the process it has started is waited for."""
    end(busy.bridge)
    assert busy.bridge.end() == (0, "")
    busy.assert_child_ends()


def test_a_bridge_that_was_never_asked_anything_ends(start: Start) -> None:
    """Before the first ping there is no bridge to end."""
    bridge = start()
    close_input(bridge)
    assert bridge.end() == (0, "")


@pytest.mark.parametrize("begun", [b"\0", b"\0\0\0\x10", frame_header(100) + b'{"id":1,'])
def test_a_partial_frame_at_the_end_is_no_failure(start: Start, begun: bytes) -> None:
    """Half a header and half a payload are the end all the same."""
    bridge = start()
    bridge.call("ping")
    bridge.send_bytes(begun)
    close_input(bridge)
    assert bridge.end() == (0, "")


def test_an_answer_that_nobody_reads_ends_the_bridge(start: Start) -> None:
    """The reader is gone though the writer stays."""
    bridge = start()
    bridge.call("ping")
    assert bridge.process.stdout is not None
    bridge.process.stdout.close()
    with contextlib.suppress(BrokenPipeError):  # where it has noticed by itself
        bridge.send(Request(5, "ping"))
    assert bridge.end() == (0, "")


def test_a_full_pipe_does_not_keep_a_bridge_alive(start: Start) -> None:
    """A client that stops reading and then goes leaves a bridge that is blocked in a write."""
    bridge = start()
    bridge.call("ping")
    os.set_blocking(bridge.process.stdin.fileno(), False)  # type: ignore[union-attr]
    frame = encode_frame(encode_request(Request(1, "get_stats")))
    written = 0
    try:
        while written < 1 << 24:
            written += os.write(bridge.process.stdin.fileno(), frame * 100)  # type: ignore[union-attr]
    except BlockingIOError:
        pass  # both pipes are full
    close_input(bridge)
    assert bridge.process.wait(PATIENCE) == 0


def test_shutdown_is_answered_and_then_the_process_ends(start: Start) -> None:
    """The reply arrives whole, nothing follows it."""
    bridge = start(worker_id="worker_1_1")
    assert bridge.call("shutdown", {"worker_id": "worker_1_1"})["status"] == "shutting_down"
    assert bridge.receive() is None
    assert bridge.end() == (0, "")


@pytest.mark.parametrize("mode", ["standalone"], indirect=True)
def test_shutdown_during_an_execution_is_answered_at_once(busy: Busy) -> None:
    """Standalone, nobody waits for the execution."""
    assert busy.bridge.call("shutdown")["status"] == "shutting_down"
    assert busy.bridge.end() == (0, "")
    busy.assert_child_ends()


def test_cleanup_at_the_end_is_answered_and_the_bridge_lives_on(start: Start) -> None:
    """What DSPex sends under the id 999999 before it closes the port."""
    bridge = start()
    bridge.send(Request(999999, "cleanup"))
    response = bridge.receive()
    assert response is not None
    assert (response.id, response.result["status"]) == (999999, "cleaned")
    assert bridge.call("ping")["status"] == "ok"


def test_requests_written_before_the_end_are_answered(start: Start) -> None:
    """A client may write, close its end, and read what comes."""
    bridge = start()
    bridge.call("get_stats")
    for id in range(100, 120):
        bridge.send(Request(id, "list_programs" if id % 2 else "ping"))
    close_input(bridge)
    answered = []
    while (response := bridge.receive()) is not None:
        answered.append(response.id)
    assert answered == list(range(100, 120))
    assert bridge.end() == (0, "")


def test_the_scratch_folder_goes_with_the_process(start: Start, tmp_path: Path) -> None:
    """DSPy's cache is nobody else's, and is not left lying about."""
    bridge = start(env={"TMPDIR": str(tmp_path), "DSPY_CACHEDIR": ""})
    bridge.call("get_stats")
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o700]
    close_input(bridge)
    bridge.end()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal
from dspex_testkit.runtime.scratch import make_scratch
print(make_scratch(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_start_removes_the_scratch_folders_of_killed_processes(start: Start, tmp_path: Path) -> None:
    """Whoever they were; those of processes that live, and folders of others, stay."""
    env = {**os.environ, "TMPDIR": str(tmp_path), "DSPY_CACHEDIR": ""}
    for _ in range(3):
        subprocess.run([sys.executable, "-c", KILLED], env=env, check=False, stdout=subprocess.DEVNULL)
    killed = set(tmp_path.iterdir())
    assert len(killed) == 3
    stranger = tmp_path / "dspex-testkit-of-somebody-else"
    stranger.mkdir()
    first, second = start(env=env), start(env=env)
    for bridge in (first, second):
        bridge.call("get_stats")
    left = {path for path in tmp_path.iterdir() if path.is_dir()} - {stranger}
    assert killed.isdisjoint(left)
    assert len(left) == 2
    for bridge in (first, second):
        close_input(bridge)
        bridge.end()
    assert list(tmp_path.iterdir()) == [stranger]


def test_an_internal_failure_is_told_by_the_status_and_on_stderr(start: Start, tmp_path: Path) -> None:
    """A bridge that cannot be imported is no quiet end."""
    (tmp_path / "pydantic.py").write_text("raise RuntimeError('no such thing today')", encoding="utf-8")
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(tmp_path), *([inherited] if inherited else [])])
    log = tmp_path / "log"
    bridge = start(env={"PYTHONPATH": path, "DSPEX_TESTKIT_LOG": str(log)})
    assert bridge.call("ping")["status"] == "ok"
    status, stderr = bridge.end()
    assert status == 1
    assert "no such thing today" in stderr
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_a_bridge_survives_nothing_of_its_group(start: Start) -> None:
    """It starts no process of its own that a reaper would have to find."""
    bridge = start()
    bridge.call("get_stats")
    process = psutil.Process(bridge.process.pid)
    assert process.children(recursive=True) == []
