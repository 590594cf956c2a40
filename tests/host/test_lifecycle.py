"""Whoever of owner, launcher, host and worker ends, and however, nothing stays behind and nobody is deceived."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from dspex_testkit.host import direct, start_worker
from dspex_testkit.host.contact import reach
from dspex_testkit.host.messages import Lines
from dspex_testkit.host.place import Unavailable, find_place
from dspex_testkit.protocol import Request, encode_frame, encode_request
from tests.host.conftest import Start
from tests.support.bridges import PATIENCE, Process
from tests.support.hosts import ARGV, all_hosts, ask, hosts_of, is_gone, usual_host, workers_of
from tests.support.waiting import eventually

MODES = ("standalone", "pool-worker")


class Family:
    """A bridge with all its processes."""

    def __init__(self, bridge: Process) -> None:
        self.bridge = bridge
        bridge.call("get_stats")
        self.launcher = psutil.Process(bridge.process.pid)
        assert bridge.process.stdin is not None
        pipe = os.fstat(bridge.process.stdin.fileno()).st_ino
        self.host, self.worker = next(
            (host, worker) for host in hosts_of() for worker in workers_of(host) if _holds(worker, pipe)
        )

    def status(self) -> int:
        """The launcher's status, once it has ended."""
        return self.bridge.process.wait(PATIENCE)


@pytest.fixture(params=MODES)
def family(request: pytest.FixtureRequest, start: Start) -> Family:
    """A bridge of each mode, alone on its host."""
    return Family(start(mode=request.param))


@pytest.fixture
def fresh_host() -> None:
    """No host of this process runs yet."""
    for host in hosts_of():
        host.kill()
    eventually(lambda: not hosts_of(), "the end of the last host")


class Parent:
    """A process that starts bridges whose pipes this one holds, so that its death closes none of them."""

    CODE = """
import subprocess, sys, time
for inherited in sys.argv[1:]:
    stdin, stdout = map(int, inherited.split(","))
    bridge = subprocess.Popen([sys.executable, "-m", "dspex_testkit.launch.main", "--mode", "pool-worker"],
                              stdin=stdin, stdout=stdout, start_new_session=True)
    print(bridge.pid, flush=True)
time.sleep(600)
"""

    def __init__(self, bridges: int) -> None:
        self._ours: list[int] = []
        theirs: list[int] = []
        pairs = []
        for _ in range(bridges):
            child_in, stdin = os.pipe()
            stdout, child_out = os.pipe()
            self._ours += [stdin, stdout]
            theirs += [child_in, child_out]
            pairs.append(f"{child_in},{child_out}")
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE, *pairs], stdout=subprocess.PIPE, text=True, pass_fds=theirs
        )
        for fd in theirs:
            os.close(fd)
        assert self.process.stdout is not None
        self.launchers = [psutil.Process(int(self.process.stdout.readline())) for _ in range(bridges)]
        for stdin, stdout in zip(self._ours[::2], self._ours[1::2], strict=True):
            os.write(stdin, encode_frame(encode_request(Request(1, "get_stats"))))
            assert os.read(stdout, 1 << 16)
        (self.host,) = hosts_of(self.process.pid)
        self.workers = workers_of(self.host)

    def close(self) -> None:
        """Let go of everything."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for fd in self._ours:
            os.close(fd)


@pytest.fixture
def parent() -> Iterator[Parent]:
    """An owner of two bridges."""
    parent = Parent(2)
    yield parent
    parent.close()


# The shape


def test_one_process_is_visible_and_the_host_is_nobodys_child(family: Family) -> None:
    """DSPex's reapers see a launcher without children; nothing else has its file's name on the command line."""
    assert family.launcher.children(recursive=True) == []
    assert family.host.ppid() != os.getpid()
    assert family.worker.ppid() == family.host.pid
    for hidden in (family.host, family.worker):
        assert "dspy_bridge" not in " ".join(hidden.cmdline())
        assert os.getsid(hidden.pid) == hidden.pid
    assert [child.pid for child in psutil.Process().children()].count(family.host.pid) == 0


def test_the_launcher_has_imported_nothing_heavy(family: Family) -> None:
    """It is one process more for each bridge, so it has to be small."""
    assert family.launcher.memory_info().rss < family.host.memory_info().rss / 3


@pytest.mark.usefixtures("family")
def test_what_leads_to_a_host_is_private() -> None:
    """The folder and the socket are the user's alone."""
    place = find_place(os.getpid())
    assert Path(place.folder).stat().st_mode & 0o777 == 0o700
    assert Path(place.path).stat().st_mode & 0o777 == 0o600
    assert Path(place.path).stat().st_uid == os.geteuid()


def test_a_host_runs_one_thread_and_keeps_nobodys_pipe(family: Family) -> None:
    """Else forking would not be safe, and a port would never see its end."""
    assert family.host.num_threads() == 1
    held = [str(fd.readlink()) for fd in Path(f"/proc/{family.host.pid}/fd").iterdir()]
    assert not [path for path in held if path.startswith("pipe:")]


def test_many_starts_at_once_make_one_host(fresh_host: None, start: Start) -> None:
    """One wins the race, the others wait for it."""
    with ThreadPoolExecutor(8) as threads:
        bridges = list(threads.map(lambda number: start(worker_id=f"worker_{number}"), range(8)))
        assert all(threads.map(lambda bridge: bridge.call("get_stats"), bridges))

    assert len(workers_of(usual_host())) == 8


# Ends that a client causes


def close_input(family: Family) -> None:
    """What a port does when it closes."""
    assert family.bridge.process.stdin is not None
    family.bridge.process.stdin.close()


def terminate(family: Family) -> None:
    """What a reaper does first."""
    family.launcher.terminate()


def interrupt(family: Family) -> None:
    """What `kill -INT` does."""
    family.launcher.send_signal(signal.SIGINT)


def kill_worker(family: Family) -> None:
    """What the kernel does when memory runs out."""
    family.worker.kill()


def kill_launcher(family: Family) -> None:
    """What a reaper does last."""
    family.launcher.kill()


def shut_down(family: Family) -> None:
    """What a pool does."""
    family.bridge.call("shutdown")


@pytest.mark.parametrize("end", [close_input, terminate, interrupt, shut_down])
def test_a_client_ends_launcher_and_worker_with_status_0(family: Family, end: Callable[[Family], None]) -> None:
    """By the time the launcher has ended, so has the worker; the host stays for the next one."""
    end(family)
    assert family.status() == 0
    assert is_gone(family.worker)
    assert family.host.is_running()


def test_a_worker_that_hears_nothing_is_ended_with_its_client(start: Start, tmp_path: Path) -> None:
    """One that is stopped, or stuck outside of Python, sees neither the end of its input nor a signal."""
    family = Family(start())
    family.worker.suspend()
    close_input(family)
    assert family.status() == 0
    eventually(lambda: is_gone(family.worker), "the end of the worker")


# Ends that nobody asked for


def test_a_killed_launcher_takes_its_worker_along(family: Family) -> None:
    """Nothing else would ever end it."""
    family.launcher.kill()
    eventually(lambda: is_gone(family.worker), "the end of the worker")
    assert family.host.is_running()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_gives_its_launcher_a_status(family: Family, number: signal.Signals) -> None:
    """Elixir has to see that the bridge crashed."""
    family.worker.send_signal(number)
    assert family.status() == 128 + number
    assert family.host.is_running()


def test_a_worker_that_crashes_gives_its_launcher_its_status(start: Start) -> None:
    """The command for chaos tests, and with it every internal failure."""
    family = Family(start(env={"DSPEX_TESTKIT_ALLOW_CRASH": "1"}))
    family.bridge.send(Request(9, "crash_worker"))
    assert family.bridge.receive() is None
    assert family.status() == 1


def test_a_killed_host_ends_workers_and_launchers_and_is_replaced(start: Start) -> None:
    """The state is gone with it, so nobody goes on as if it were there."""
    families = [Family(start(mode=mode)) for mode in ("pool-worker", "standalone")]
    host = families[0].host
    host.kill()
    for family in families:
        assert family.status() == 1
        eventually(lambda family=family: is_gone(family.worker), "the end of the worker")  # type: ignore[misc]

    successor = Family(start())

    assert successor.host.pid != host.pid
    assert successor.bridge.call("list_programs")["programs"] == []


def test_a_killed_host_ends_a_worker_that_executes(start: Start, tmp_path: Path) -> None:
    """It would not look at the host for ten minutes; nor does what it had started stay."""
    family, child = _busy(start, tmp_path)
    family.host.kill()
    assert family.status() == 1
    eventually(lambda: is_gone(family.worker) and is_gone(child), "the end of the worker and its child")


@pytest.mark.parametrize("who", ["launcher", "worker"])
def test_what_a_worker_had_started_ends_with_it(start: Start, tmp_path: Path, who: str) -> None:
    """Also where the worker had no time to see to it."""
    family, child = _busy(start, tmp_path)
    getattr(family, who).kill()
    eventually(lambda: is_gone(family.worker) and is_gone(child), "the end of the worker and its child")
    assert family.status() != 0


@pytest.mark.parametrize("end", ["close_input", "kill_worker", "kill_launcher"])
@pytest.mark.parametrize("own_session", [False, True])
def test_what_has_left_its_parent_ends_with_its_worker(
    start: Start, tmp_path: Path, end: str, own_session: bool
) -> None:
    """A process that made a daemon of itself is nobody's descendant any more, and ends all the same."""
    family, daemon = _with_daemon(start, tmp_path, own_session=own_session)
    {"close_input": close_input, "kill_worker": kill_worker, "kill_launcher": kill_launcher}[end](family)
    family.status()
    eventually(lambda: is_gone(family.worker) and is_gone(daemon), "the end of the worker and the daemon")


def test_the_end_of_one_worker_ends_nothing_of_another(start: Start, tmp_path: Path) -> None:
    """The host has adopted what the other one's program has orphaned, and knows whose it is."""
    family, daemon = _with_daemon(start, tmp_path, own_session=False)
    other = Family(start(worker_id="worker_2"))
    kill_worker(other)
    assert other.status() == 137
    assert not is_gone(daemon)
    close_input(family)
    assert family.status() == 0
    eventually(lambda: is_gone(daemon), "the end of the daemon")


def test_a_killed_worker_leaves_no_scratch_folder(start: Start, tmp_path: Path) -> None:
    """Its host removes what it could not remove itself, and nothing of another process."""
    others = tmp_path / "dspex-testkit-1-of-another-process"
    others.mkdir()
    family = Family(start(env={"TMPDIR": str(tmp_path), "DSPY_CACHEDIR": ""}))
    assert len(list(tmp_path.iterdir())) == 2
    kill_worker(family)
    assert family.status() == 137
    assert list(tmp_path.iterdir()) == [others]


# A host that is stopped


@pytest.fixture
def stopped(family: Family) -> Iterator[Family]:
    """A family whose host is stopped, as by a debugger or a shell's job control."""
    family.host.suspend()
    yield family
    with contextlib.suppress(psutil.NoSuchProcess):
        family.host.resume()


@pytest.mark.parametrize("end", [close_input, terminate, interrupt])
def test_a_stopped_host_keeps_no_launcher_from_ending(stopped: Family, end: Callable[[Family], None]) -> None:
    """It cannot tell how the worker has ended, so the launcher finds out by itself."""
    end(stopped)
    assert stopped.status() == 0
    eventually(lambda: is_gone(stopped.worker), "the end of the worker")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_stopped_host_hides_no_status(stopped: Family, number: signal.Signals) -> None:
    """A crash is a crash, also where only the kernel tells of it."""
    stopped.worker.send_signal(number)
    assert stopped.status() == 128 + number


def test_a_shutdown_ends_the_launcher_of_a_stopped_host(start: Start) -> None:
    """While the client keeps its port open."""
    family = Family(start(mode="standalone"))
    family.host.suspend()
    try:
        family.bridge.send(Request(9, "shutdown"))
        answer = family.bridge.receive()
        assert answer is not None
        assert answer.success
        assert family.status() == 0
    finally:
        family.host.resume()


@pytest.mark.parametrize("end", ["close_input", "terminate"])
def test_a_launcher_that_finds_a_stopped_host_answers_pings_and_ends(start: Start, family: Family, end: str) -> None:
    """Before there is a worker."""
    family.host.suspend()
    try:
        late = start()
        assert late.call("ping")["status"] == "ok"
        late.send(Request(7, "list_programs"))
        if end == "terminate":
            late.process.terminate()
        else:
            assert late.process.stdin is not None
            late.process.stdin.close()
        assert late.end() == (0, "")
    finally:
        family.host.resume()


def test_a_worker_without_a_launcher_ends_beside_a_stopped_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a harness does not wait for ever for another one."""
    worker = start_worker(ARGV)
    assert ask(worker, "ping").success
    host = usual_host()
    host.suspend()
    try:
        worker.kill()
        assert worker.wait(1.0) == 137
        monkeypatch.setattr(direct, "LONGEST_SILENCE", 0.2)
        with pytest.raises(Unavailable, match="stopped"):
            start_worker(ARGV)
    finally:
        host.resume()
        os.close(worker.stdin)
        os.close(worker.stdout)


# What killed hosts leave


def test_the_next_host_removes_the_sockets_of_killed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where their owners are gone too; a host that can be reached stays, whoever its owner is."""
    # A folder of pytest's may have a path that is too long for a socket.
    place = Path(tempfile.mkdtemp(prefix="dspex-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    folder = place / "dspex-testkit"
    folder.mkdir(mode=0o700)
    left = folder / "999999999-1-0badc0de"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(left))
    elsewhere = folder / "999999998-1-0badc0de"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(elsewhere))
        listening.listen()
        worker = start_worker(ARGV, linger=0.05)
        assert ask(worker, "ping").success
        assert not left.exists()
        assert elsewhere.exists()
        os.close(worker.stdin)
        assert worker.wait(PATIENCE) == 0
        os.close(worker.stdout)
    shutil.rmtree(place)


def test_a_worker_does_not_wait_for_a_launcher_that_waits_for_a_killed_host() -> None:
    """Between the fork and the first word of the host, each would wait for the other."""
    place = find_place(os.getpid(), {**os.environ, "PYTHONHASHSEED": "3"})
    lines = Lines(reach(place, linger=PATIENCE))
    told = lines.next()
    assert told is not None
    worker = psutil.Process(told["worker"])
    host = worker.parent()
    assert host is not None
    host.kill()
    assert lines.next() is None
    eventually(lambda: is_gone(worker), "the end of the worker that was told nothing")
    lines.connection.close()


@pytest.mark.parametrize("descriptors", [30, 31, 32])
def test_a_host_without_descriptors_left_refuses_and_lives_on(start: Start, tmp_path: Path, descriptors: int) -> None:
    """Whichever of those that a worker takes is the one too many; bridges then run by themselves."""
    log = tmp_path / "log"
    env = {"PYTHONHASHSEED": str(descriptors), "DSPEX_TESTKIT_LOG": str(log)}
    limited = ["-c", f'ulimit -n {descriptors}; exec "$0" "$@"', sys.executable, "-m", "dspex_testkit.launch.main"]
    first = Family(start(python="/bin/sh", argv=limited, env=env))
    others: list[Process] = []
    while "running without the warm host: the warm host cannot be forked: Too many open files" not in log.read_text(
        encoding="utf-8"
    ):
        assert len(others) < descriptors
        others.append(start(env=env))
        assert others[-1].call("list_programs")["programs"] == []

    kill_worker(first)
    assert first.status() == 137
    assert all(other.call("ping")["status"] == "ok" for other in others)
    assert first.host.is_running()


def test_a_killed_owner_takes_everything_along(parent: Parent) -> None:
    """Though no pipe was closed by its death."""
    assert len(parent.workers) == 2
    parent.process.kill()
    for process in (parent.host, *parent.workers, *parent.launchers):
        eventually(lambda process=process: is_gone(process), f"the end of {process}")  # type: ignore[misc]


def test_an_owner_that_dies_while_its_host_imports_leaves_none(tmp_path: Path) -> None:
    """An import that hangs must not keep a process that nobody waits for."""
    (tmp_path / "dspy.py").write_text("import threading\nthreading.Event().wait()\n", encoding="utf-8")
    code = "from tests.support.bridges import Process\nb = Process()\nb.call('ping')\nprint(flush=True)\ninput()"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path[:1], os.getcwd()])}
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, bufsize=0
    )
    with owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        eventually(lambda: hosts_of(owner.pid), "a host that imports")
        (host,) = hosts_of(owner.pid)
        owner.kill()
    eventually(lambda: is_gone(host), "the end of the host")


def test_a_host_without_workers_leaves_in_time(start: Start) -> None:
    """And takes its socket along; the next bridge gets another one."""
    lonely = {"DSPEX_TESTKIT_HOST_LINGER": "0.05", "PYTHONHASHSEED": "1"}
    with Process(env=lonely) as bridge:
        bridge.call("get_stats")
        host = next(host for host in hosts_of() if host.cmdline()[-1] == "0.05")
        socket = Path(host.cmdline()[-2])
        assert socket.exists()
    eventually(lambda: is_gone(host), "the end of the idle host")
    assert not socket.exists()
    with Process(env=lonely) as bridge:
        assert bridge.call("get_stats")["mode"] == "standalone"


def test_a_socket_of_a_dead_host_is_no_obstacle(fresh_host: None, start: Start) -> None:
    """What `kill -9` leaves lying about refuses connections, and is replaced."""
    first = Family(start())
    place = find_place(os.getpid())
    first.host.kill()
    first.status()
    assert Path(place.path).exists()

    assert Family(start()).host.is_running()


def test_nothing_is_left_once_the_last_owner_has_gone() -> None:
    """Neither a process nor a socket."""
    parent = Parent(1)
    socket = Path(parent.host.cmdline()[-2])
    parent.close()
    eventually(lambda: not socket.exists(), "the removal of the socket")
    eventually(lambda: not hosts_of(parent.process.pid), "the end of the host")
    assert not [host for host in all_hosts() if host.cmdline()[-4] == str(parent.process.pid)]


def _holds(process: psutil.Process, pipe: int) -> bool:
    """Whether a process has a pipe open."""
    return any(fd.stat().st_ino == pipe for fd in Path(f"/proc/{process.pid}/fd").iterdir() if fd.exists())


def _busy(start: Start, folder: Path) -> tuple[Family, psutil.Process]:
    """A worker in the middle of ten minutes' work, and the process that it has started for that."""
    pid_file = folder / "child"
    return _running(start, f"import os, time\n{_write_pid(pid_file)}\ntime.sleep(600)", pid_file)


def _with_daemon(start: Start, folder: Path, *, own_session: bool) -> tuple[Family, psutil.Process]:
    """The same with a process that has lost its parent and, if wanted, left the session."""
    pid_file = folder / "daemon"
    code = f"""
import os, time
if os.fork() == 0:
    if {own_session}:
        os.setsid()
    if os.fork() == 0:
        {_write_pid(pid_file)}
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
"""
    return _running(start, code, pid_file)


def _write_pid(path: Path) -> str:
    return f"open({str(path)!r}, 'w').write(str(os.getpid()))"


def _running(start: Start, code: str, pid_file: Path) -> tuple[Family, psutil.Process]:
    family = Family(start(env={"DSPEX_TESTKIT_ALLOW_LOCAL_INTERPRETER": "1"}))
    bridge = family.bridge
    bridge.call("configure_lm", {"provider": "mock", "script": [{"reasoning": "r", "generated_code": code}]})
    bridge.call("create_program", {"id": "p", "signature": "question -> answer", "program_type": "program_of_thought"})
    bridge.send(Request(77, "execute_program", {"program_id": "p", "inputs": {"question": "q"}}))
    eventually(lambda: pid_file.exists() and pid_file.read_text(encoding="utf-8"), "the child's first words")
    return family, psutil.Process(int(pid_file.read_text(encoding="utf-8")))
