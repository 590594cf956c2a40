"""A forked worker is in everything what the launched process would have been."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.errors import UsageError
from dspex_testkit.host import Worker, start_worker
from dspex_testkit.host.messages import Lines, say
from dspex_testkit.host.place import find_place
from dspex_testkit.protocol import Request, encode_frame, encode_request
from tests.host.conftest import Start
from tests.support.bridges import PATIENCE, Process
from tests.support.hosts import ARGV, ask, end, forget_shared_state, hosts_of, is_gone
from tests.support.waiting import eventually

REPORTER = """
import os, random, sys

def report(call):
    umask = os.umask(0o22)
    os.umask(umask)
    import numpy
    draws = [random.random(), float(numpy.random.random())]
    return {"report": {
        "cwd": os.getcwd(), "umask": umask, "argv": sys.argv, "path": sys.path, "draws": draws,
        "mine": os.environ.get("MINE"), "environment": sorted(os.environ),
        "odd": os.fsencode(os.environ.get("ODD", "")).hex(),
    }}
"""


@pytest.fixture
def reporter(tmp_path: Path) -> Path:
    """A module that tells what the process is that imports it."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "reporter.py").write_text(REPORTER, encoding="utf-8")
    return folder


def report(bridge: Process) -> dict[str, Any]:
    """What a bridge's process says of itself."""
    lm = {"provider": "mock", "mode": "function", "function": "reporter:report"}
    signature = {"inputs": [{"name": "question"}], "outputs": [{"name": "report", "type": "dict"}]}
    result = bridge.call("predict", {"signature": signature, "inputs": {"question": "?"}, "lm_config": lm})
    told: dict[str, Any] = result["outputs"]["report"]
    return told


def test_a_worker_is_what_was_launched(start: Start, reporter: Path, tmp_path: Path) -> None:
    """Working directory, umask, variables, command line and search path, beside one that differs in all of them."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    shared = {"DSPEX_TESTKIT_ALLOW_IMPORT": "reporter", "PYTHONPATH": _path(reporter)}
    kept = os.umask(0o027)
    try:
        one = start(env={**shared, "MINE": "one", "ONLY": "here", "ODD": os.fsdecode(b"\xff\xfe")}, cwd=cwd)
        one.call("ping")
    finally:
        os.umask(kept)
    other = start(env={**shared, "MINE": "other"}, worker_id="worker_2")

    here, there = report(one), report(other)

    assert (here["cwd"], here["umask"], here["mine"], here["odd"]) == (str(cwd), 0o027, "one", "fffe")
    assert (there["cwd"], there["umask"], there["mine"]) == (os.getcwd(), kept, "other")
    assert "ONLY" in here["environment"]
    assert "ONLY" not in there["environment"]
    assert here["argv"][1:] == ["--mode", "pool-worker"]
    assert there["argv"][1:] == ["--mode", "pool-worker", "--worker-id", "worker_2"]
    assert here["path"][0] == str(cwd)
    assert not set(here["draws"]) & set(there["draws"])


def test_settings_are_each_workers_own(start: Start) -> None:
    """They come from its environment and its command line, not from the host's."""
    one = start(env={"DSPEX_TESTKIT_DEFAULT_LM": "openai/gpt-4"})
    other = start(argv=["-m", "dspex_testkit.launch.main", "--default-lm", "anthropic/claude-3"])
    assert one.call("get_lm")["lm"]["model"] == "gpt-4"
    assert other.call("get_lm")["lm"]["model"] == "claude-3"


def test_a_wrong_default_lm_is_told_by_status_and_on_stderr(start: Start) -> None:
    """As by a bridge without a host."""
    bridge = start(env={"DSPEX_TESTKIT_DEFAULT_LM": "opena/gpt-4"})
    assert bridge.call("ping")["status"] == "ok"
    status, stderr = bridge.end()
    assert status == 2
    assert "opena" in stderr


HANGS_ONCE = """
import sys, threading
from pathlib import Path
hung = Path(__file__).with_name("hung")
if "dspex_testkit.host.main" in sys.orig_argv and not hung.exists():
    hung.touch()
    threading.Event().wait()
"""
"""Makes the first host of a search path import for ever."""

NEW_HOST = {"PYTHONHASHSEED": "11"}
"""Of the imports' environment, so that the launcher finds no host yet and reads before there is a worker."""


@pytest.fixture
def no_such_host() -> None:
    """No host for bridges with `NEW_HOST` runs."""
    path = find_place(os.getpid(), {**os.environ, **NEW_HOST}).path
    for host in [host for host in hosts_of() if host.cmdline()[-2] == path]:
        host.kill()
        eventually(lambda host=host: is_gone(host), "the end of the host")  # type: ignore[misc]


@pytest.mark.usefixtures("no_such_host")
@pytest.mark.parametrize("env", [{}, NEW_HOST], ids=["warm", "cold"])
@pytest.mark.parametrize("mode", ["standalone", "pool-worker"])
def test_no_byte_is_lost_between_launcher_and_worker(start: Start, mode: str, env: dict[str, str]) -> None:
    """Requests written before anybody reads, one of them larger than what a launcher keeps, and half of another."""
    bridge = start(mode=mode, env=env)
    large = "x" * (3 << 20)
    frames = b"".join(
        encode_frame(encode_request(request))
        for request in (
            Request(1, "ping"),
            Request(2, "update_session_data", {"session_id": "s", "key": "k", "value": large}),
            Request(3, "get_session_data", {"session_id": "s"}),
            Request(4, "list_programs"),
        )
    )
    bridge.send_bytes(frames[:-7])
    first = [bridge.receive() for _ in range(3)]
    bridge.send_bytes(frames[-7:])
    last = bridge.receive()

    assert [response and response.id for response in (*first, last)] == [1, 2, 3, 4]
    assert first[2] is not None
    assert first[2].result["data"] == {"k": large}


def test_pings_are_answered_while_the_host_starts(start: Start, tmp_path: Path) -> None:
    """Standalone even after a command that has to wait for it; by the one that has started it, and by others."""
    (tmp_path / "dspy.py").write_text("import threading\nthreading.Event().wait()\n", encoding="utf-8")
    before = len(hosts_of())
    for _ in range(2):
        bridge = start(mode="standalone", env={"PYTHONPATH": _path(tmp_path)})
        bridge.send(Request(100, "list_programs"))
        for _ in range(3):
            assert bridge.call("ping")["status"] == "ok"
        eventually(lambda: len(hosts_of()) == before + 1, "a host that imports")


@pytest.mark.parametrize("mode", ["standalone", "pool-worker"])
def test_a_host_that_dies_while_it_imports_is_replaced_without_another_word_of_the_client(
    start: Start, tmp_path: Path, mode: str
) -> None:
    """The client has said all that it will say until it is answered."""
    (tmp_path / "sitecustomize.py").write_text(HANGS_ONCE, encoding="utf-8")
    env = {"PYTHONPATH": _path(tmp_path)}
    path = find_place(os.getpid(), {**os.environ, **env}).path
    bridge = start(mode=mode, env=env)
    bridge.send(Request(1, "ping"))
    bridge.send(Request(2, "list_programs"))
    assert bridge.receive() is not None
    eventually(lambda: (tmp_path / "hung").exists(), "a host that imports")
    (host,) = [host for host in hosts_of() if host.cmdline()[-2] == path]
    host.kill()

    answer = bridge.receive()

    assert answer is not None
    assert answer.result["programs"] == []


def test_what_a_dying_worker_does_not_take_is_given_to_the_next(tmp_path: Path) -> None:
    """A host killed at the wrong moment is not taken for a client that has gone."""
    with tempfile.TemporaryDirectory() as runtime, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        env = {"XDG_RUNTIME_DIR": runtime}
        folder = Path(runtime) / "dspex-testkit"
        folder.mkdir(mode=0o700)
        # It differs from the usual one in its folder alone.
        path = folder / Path(find_place(os.getpid()).path).name
        listener.bind(str(path))
        listener.listen()
        with Process(env=env) as bridge:
            connection, _ = listener.accept()
            listener.close()
            with connection:
                connection.shutdown(socket.SHUT_RD)
                connection.sendall(b'{"worker": 4194303}\n')
            assert bridge.call("ping")["status"] == "ok"
            assert bridge.call("get_stats")["command_count"] == 2
        for host in hosts_of():
            if runtime in host.cmdline()[-2]:
                host.kill()


@pytest.mark.usefixtures("no_such_host")
@pytest.mark.parametrize("env", [{}, NEW_HOST], ids=["warm", "cold"])
def test_early_commands_count(start: Start, env: dict[str, str]) -> None:
    """The launcher's pings are the bridge's."""
    bridge = start(env=env)
    for _ in range(3):
        bridge.call("ping")
    assert bridge.call("get_stats")["command_count"] >= 4


def test_a_worker_can_be_started_without_a_launcher(tmp_path: Path) -> None:
    """Its pool is the one of the launched workers, and its status comes over the host."""
    forget_shared_state()
    worker = start_worker([*ARGV, "--worker-id", "direct"], cwd=tmp_path)
    assert ask(worker, "ping").result["worker_id"] == "direct"
    assert ask(worker, "create_program", {"id": "p", "signature": "question -> answer"}).success
    with Process(mode="pool-worker") as launched:
        assert [program["id"] for program in launched.call("list_programs")["programs"]] == ["p"]
    assert Path(f"/proc/{worker.pid}/cwd").readlink() == tmp_path
    assert worker.wait(0) is None
    assert end(worker) == 0
    forget_shared_state()


@pytest.mark.parametrize(("end_it", "status"), [("terminate", 0), ("kill", 137)])
def test_a_worker_without_a_launcher_can_be_ended(end_it: str, status: int) -> None:
    """Politely or not."""
    worker = start_worker([*ARGV], stderr=2)
    assert ask(worker, "ping").success
    getattr(worker, end_it)()
    assert worker.wait(PATIENCE) == status
    assert worker.wait(0) == status
    os.close(worker.stdin)
    os.close(worker.stdout)


def test_a_worker_is_ended_where_its_host_says_that_it_has_failed() -> None:
    """Nobody else would, and what it shared with its pool is gone."""
    ours, theirs = socket.socketpair()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process, theirs:
        worker = Worker(Lines(ours), process.pid, stdin=-1, stdout=-1)
        say(theirs, lost="OSError: no room")
        assert worker.wait(PATIENCE) == 1
        assert process.wait(PATIENCE) == -signal.SIGKILL


def test_only_the_command_line_of_a_bridge_makes_a_worker() -> None:
    """Anything else is no job for the host."""
    with pytest.raises(UsageError, match="command line of a bridge"):
        start_worker([sys.executable, "-c", "pass"])


def _path(folder: Path) -> str:
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(folder), *([inherited] if inherited else [])])
