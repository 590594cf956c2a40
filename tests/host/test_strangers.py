"""Another user of the machine reaches nobody's host, and nobody's launcher is led to one of his."""

import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dspex_testkit.host import start_worker
from dspex_testkit.host.place import find_place
from dspex_testkit.runtime.scratch import remove_left_scratch
from tests.host.test_choice import complaints
from tests.support.bridges import Process
from tests.support.hosts import ARGV, ask, end

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@contextmanager
def as_nobody(act: Callable[[], bytes]) -> Iterator[int]:
    """A process of another user; gives a descriptor on which to read what came of it.

    It forks and runs nothing new, because nobody may enter the folders that this interpreter is in.
    """
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writable, act())
        except OSError as error:
            os.write(writable, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writable)
    yield readable
    os.close(readable)
    os.waitpid(pid, 0)


def knock(path: str) -> bytes:
    """Connect to a host, and give all that it says."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    said = b""
    while data := connection.recv(4096):
        said += data
    return b"connected and heard: " + said


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this test's host has its socket; everybody may look into what is above it."""
    with tempfile.TemporaryDirectory() as runtime:
        Path(runtime).chmod(0o755)
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield Path(runtime) / "dspex-testkit"


def test_the_folder_keeps_others_out(folder: Path) -> None:
    """They do not come as far as the socket."""
    worker = start_worker(ARGV, linger=0.05)
    assert ask(worker, "ping").success
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    path = find_place(os.getpid()).path
    with as_nobody(lambda: knock(path)) as said:
        assert os.read(said, 100) == b"PermissionError"
    assert end(worker) == 0


def test_the_socket_keeps_others_out(folder: Path) -> None:
    """Where somebody has opened the folder to them."""
    worker = start_worker(ARGV, linger=0.05)
    assert ask(worker, "ping").success
    folder.chmod(0o755)
    path = find_place(os.getpid()).path
    with as_nobody(lambda: knock(path)) as said:
        assert os.read(said, 100) == b"PermissionError"
    folder.chmod(0o700)
    assert end(worker) == 0


def test_a_host_tells_a_stranger_nothing(folder: Path) -> None:
    """Where he has come through to it: no worker is forked, and the connection is closed."""
    worker = start_worker(ARGV, linger=0.05)
    assert ask(worker, "ping").success
    path = Path(find_place(os.getpid()).path)
    folder.chmod(0o755)
    path.chmod(0o666)
    with as_nobody(lambda: knock(str(path))) as said:
        assert os.read(said, 100) == b"connected and heard: "
    folder.chmod(0o700)
    assert ask(worker, "ping").success
    assert end(worker) == 0


def test_a_bridge_gives_nothing_to_a_strangers_host(folder: Path, tmp_path: Path) -> None:
    """Neither descriptors nor keys: it says whose the socket is not, and runs by itself."""
    folder.mkdir()
    folder.chmod(0o777)
    path = find_place(os.getpid()).path
    listening, told = os.pipe()

    def listen() -> bytes:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        Path(path).chmod(0o777)
        listener.listen()
        os.write(told, b"x")
        connection, _ = listener.accept()
        return b"got: " + connection.recv(4096)

    with as_nobody(listen) as said:
        assert os.read(listening, 1) == b"x"
        log = tmp_path / "log"
        with Process(mode="pool-worker", env={"DSPEX_TESTKIT_LOG": str(log)}) as bridge:
            assert bridge.call("list_programs")["programs"] == []
        assert os.read(said, 4096) == b"got: "
    assert complaints(log) == [f"the socket {path} belongs to somebody else"]
    for fd in (listening, told):
        os.close(fd)


def test_a_folder_for_scratch_that_may_not_be_listed_ends_no_host(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine may let everybody write there and nobody look; what a killed worker has left then stays."""
    folder.mkdir()
    folder.chmod(0o733)
    monkeypatch.setenv("TMPDIR", str(folder))

    def clear_away() -> bytes:
        remove_left_scratch()
        return b"lives on"

    with as_nobody(clear_away) as said:
        assert os.read(said, 100) == b"lives on"
