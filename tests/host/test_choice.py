"""When there is a host and when not; without one a bridge works all the same, and says what is missing."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dspex_testkit.host import start_worker
from dspex_testkit.host.place import System, Unavailable, find_place, import_environment
from dspex_testkit.launch.doctor import examine
from dspex_testkit.launch.install import install
from tests.host.conftest import Start
from tests.support.bridges import Process
from tests.support.hosts import ARGV, hosts_of

WITHOUT = "running without the warm host: "


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a bridge writes its log."""
    return tmp_path / "log"


def complaints(log: Path) -> list[str]:
    """Why bridges ran without the host."""
    text = log.read_text(encoding="utf-8")
    return [line.partition(WITHOUT)[2] for line in text.splitlines() if WITHOUT in line]


def serve(start: Start, log: Path, **env: str) -> Process:
    """A bridge that has executed."""
    bridge = start(env={"DSPEX_TESTKIT_LOG": str(log), "DSPEX_TESTKIT_DEFAULT_LM": "mock", **env})
    bridge.call("ping")
    bridge.call("predict", {"signature": "question -> answer", "inputs": {"question": "?"}})
    assert bridge.call("get_stats")["command_count"] == 3
    return bridge


def test_switched_off_the_bridge_is_the_launched_process(start: Start, log: Path) -> None:
    """Nobody else has its number."""
    before = {host.pid for host in hosts_of()}
    serve(start, log, DSPEX_TESTKIT_HOST="off", PYTHONHASHSEED="7")
    # One of the tests before may have come to the end of its linger meanwhile.
    assert {host.pid for host in hosts_of()} <= before
    assert complaints(log) == []


def test_a_path_too_long_for_a_socket_is_said_once(start: Start, log: Path, tmp_path: Path) -> None:
    """And the bridge runs by itself."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    serve(start, log, XDG_RUNTIME_DIR=str(folder))
    (said,) = complaints(log)
    assert "is too long for a socket" in said


@pytest.mark.parametrize(
    ("system", "reason"),
    [
        (System("darwin"), "macOS does not promise"),
        (System("freebsd14"), "this is freebsd14"),
        (System("win32", watches=False, passes=False), "this is win32"),
        (System("linux", implementation="pypy"), "made for CPython, and this is pypy"),
        (System("linux", watches=False), "cannot watch another process"),
        (System("linux", passes=False), "cannot pass descriptors"),
        (System("linux", longest_path=20), "too long for a socket \\(at most 20 bytes\\)"),
    ],
    ids=lambda value: value.platform if isinstance(value, System) else "",
)
def test_a_system_that_cannot_have_a_host_says_why(system: System, reason: str) -> None:
    """Each on its own, whatever this one can do."""
    with pytest.raises(Unavailable, match=reason):
        find_place(os.getpid(), system=system)


def test_this_system_is_seen_as_it_is() -> None:
    """What is said of it leads to the same place as when nothing is said."""
    assert find_place(os.getpid(), system=System.here()).path == find_place(os.getpid()).path
    assert System.here().why_none() is None


def test_a_folder_that_others_can_enter_is_not_used(start: Start, log: Path) -> None:
    """Somebody else could be listening there."""
    # pytest's own folders may be too long for the path of a socket, which would be another reason.
    with tempfile.TemporaryDirectory() as short:
        folder = Path(short) / "dspex-testkit"
        folder.mkdir()
        folder.chmod(0o777)
        serve(start, log, XDG_RUNTIME_DIR=short)
    (said,) = complaints(log)
    assert "is not private to this user" in said


def test_doctor_tells_of_a_folder_that_others_can_enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before a bridge does."""
    install(tmp_path)
    with tempfile.TemporaryDirectory() as short:
        folder = Path(short) / "dspex-testkit"
        folder.mkdir()
        folder.chmod(0o755)
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        found = next(step for step in examine(tmp_path) if step.name == "warm host").found
    assert found.startswith(f"none, because the folder {folder} is not private to this user: each bridge loads DSPy")


def test_a_host_that_cannot_import_refuses_with_the_reason(start: Start, log: Path, tmp_path: Path) -> None:
    """The bridge then meets the same failure by itself and reports it as ever."""
    (tmp_path / "pydantic.py").write_text("raise RuntimeError('no such thing today')", encoding="utf-8")
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(tmp_path), *([inherited] if inherited else [])])
    bridge = start(env={"DSPEX_TESTKIT_LOG": str(log), "PYTHONPATH": path})
    assert bridge.call("ping")["status"] == "ok"
    assert bridge.process.wait() == 1
    (said,) = complaints(log)
    assert said.startswith("the warm host cannot start: RuntimeError: no such thing today")


def test_a_host_with_threads_refuses_to_fork(start: Start, log: Path, tmp_path: Path) -> None:
    """A fork would lose them, and what they hold locked."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n", encoding="utf-8"
    )
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(tmp_path), *([inherited] if inherited else [])])
    serve(start, log, PYTHONPATH=path)
    (said,) = complaints(log)
    assert said == "the warm host has 2 threads and cannot be forked"


def test_a_harness_without_a_launcher_is_told_why_it_is_refused(tmp_path: Path) -> None:
    """Though it has said what it wants before it could be refused."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n", encoding="utf-8"
    )
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(tmp_path), *([inherited] if inherited else [])])
    with pytest.raises(Unavailable, match="the warm host has 2 threads and cannot be forked"):
        start_worker(ARGV, env={**os.environ, "PYTHONPATH": path})


def test_an_owner_that_cannot_be_watched_has_no_host() -> None:
    """It is gone, or of another process namespace."""
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    for pid in (0, done.pid):
        with pytest.raises(Unavailable, match="cannot be watched"):
            find_place(pid)


def test_the_place_depends_on_what_is_imported_and_on_nothing_else() -> None:
    """A key, a setting or a cache folder makes no other host; a search path does."""
    place = find_place(os.getpid(), os.environ)
    same = {**os.environ, "OPENAI_API_KEY": "k", "DSPEX_TESTKIT_SEED": "5", "DSPY_CACHEDIR": "elsewhere"}
    other = {**os.environ, "PYTHONPATH": "elsewhere"}
    assert find_place(os.getpid(), same).path == place.path
    assert find_place(os.getpid(), other).path != place.path
    assert "OPENAI_API_KEY" not in import_environment(same)


def test_two_search_paths_are_two_hosts_with_two_states(start: Start, tmp_path: Path) -> None:
    """What one has imported may not be what the other wants."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*([inherited] if inherited else []), str(tmp_path)])
    one, other = start(), start(env={"PYTHONPATH": path})
    one.call("create_program", {"id": "p", "signature": "question -> answer"})
    assert other.call("list_programs")["programs"] == []
    assert len(hosts_of()) >= 2
