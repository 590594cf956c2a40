"""Live bridges: processes that are found again whatever becomes of them, and pipes full of requests."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

PATIENCE = 120.0
"""Seconds that an answer, or an end, may take on a machine that is busy."""

MEMORY = 8 << 30
"""Bytes of address space for each process: one that wants more shall fail, and not the machine."""

Mode = Literal["standalone", "pool-worker"]
Kind = Literal["owner", "launcher", "host", "worker", "other"]

_HOST = b"dspex_testkit.host.main"


class Sandbox:
    """A folder of their own for all processes of one attack; what they leave behind is in it, or carries its name.

    `TMPDIR` is among what a warm host is found by, so no other host is touched, and it is in the environment of every
    process below, however it was orphaned.
    """

    def __init__(self) -> None:
        # Not below `TMPDIR`: the path of a host's socket has little room.
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/tmp"))
        self.tmp, self.run, self.home = (self._made(name) for name in ("tmp", "run", "home"))
        self.cassettes = self._made("cassettes")
        self._mark = b"\0TMPDIR=" + os.fsencode(self.tmp) + b"\0"

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        return folder

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of this process without what it says about bridges, and with the sandbox's folders."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DSPEX_", "PYTEST_", "COV"))}
        own = {"TMPDIR": str(self.tmp), "XDG_RUNTIME_DIR": str(self.run), "HOME": str(self.home)}
        bridges = {"CASSETTES": str(self.cassettes), "CACHE_DIR": str(self.folder / "responses")}
        return kept | own | {f"DSPEX_TESTKIT_{name}": value for name, value in bridges.items()} | more

    def processes(self) -> Iterator[tuple[int, Kind]]:
        """Those that live, but for the one that asks."""
        for name in [folder.name for folder in Path("/proc").iterdir()]:
            if not name.isdigit() or int(name) == os.getpid():
                continue
            with suppress(OSError, IndexError):
                if self._mark not in b"\0" + Path(f"/proc/{name}/environ").read_bytes() + b"\0":
                    continue
                if is_alive(int(name)):
                    yield int(name), _kind(int(name))

    def of_kind(self, kind: Kind) -> list[int]:
        """The living processes of one kind, the oldest first."""
        return sorted(pid for pid, its in self.processes() if its == kind)

    def files(self) -> list[str]:
        """What lies in the folders for temporary files and sockets."""
        found = [path for folder in (self.tmp, self.run) for path in folder.rglob("*")]
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def close(self) -> None:
        """Kill whatever still runs, and remove the folder."""
        for pid, _ in list(self.processes()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def _kind(pid: int) -> Kind:
    line = Path(f"/proc/{pid}/cmdline").read_bytes()
    if _HOST in line:
        parent = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
        with suppress(OSError):
            if _HOST in Path(f"/proc/{parent}/cmdline").read_bytes():
                return "worker"
        return "host"
    if b"dspex_testkit.launch.main" in line or b"dspy_bridge.py" in line:
        return "launcher"
    return "owner" if b"fuzz/owner.py" in line else "other"


def command_line(mode: Mode, number: int = 0) -> list[str]:
    """What starts a bridge, its memory bounded."""
    limited = ["sh", "-c", f'ulimit -v {MEMORY >> 10}; exec "$@"', "sh"]
    bridge = [sys.executable, "-m", "dspex_testkit.launch.main", "--mode", mode]
    return [*limited, *bridge, *(["--worker-id", f"worker_{number}"] if mode == "pool-worker" else [])]


Hear = Callable[[dict[str, Any]], None]
"""Is told a reply."""


class Port:
    """The client's end of a bridge's pipes. Requests are queued and written as the bridge takes them.

    Args:
        stdin: Written to; this object's to close.
        stdout: Read from; this object's to close.
        name: For messages.
    """

    def __init__(self, stdin: int, stdout: int, name: str = "the bridge") -> None:
        self.name = name
        self.stdin = stdin
        self.stdout = stdout
        self.ended = False
        self.replies: list[dict[str, Any]] = []
        """Arrived and not yet taken."""
        self.garbled = 0
        """Packets that are no JSON object."""
        self._in = bytearray()
        self._out = bytearray()
        os.set_blocking(stdin, False)
        os.set_blocking(stdout, False)

    def write(self, data: bytes) -> None:
        """Have bytes written as they are."""
        self._out += data

    def request(self, id: int, command: str, args: Mapping[str, Any]) -> None:
        """Have a request written."""
        self.write(frame(json.dumps({"id": id, "command": command, "args": args}).encode()))

    @property
    def unwritten(self) -> int:
        """Bytes that the bridge has not taken."""
        return len(self._out)

    def turn(self) -> None:
        """Write and read what can be done without waiting."""
        with suppress(BlockingIOError):
            while self._out:
                try:
                    del self._out[: os.write(self.stdin, self._out[: 1 << 16])]
                except BrokenPipeError:
                    self._out.clear()
        with suppress(BlockingIOError):
            while not self.ended:
                if data := os.read(self.stdout, 1 << 20):
                    self._in += data
                else:
                    self.ended = True
        self._take_apart()

    def _take_apart(self) -> None:
        start = 0
        while len(self._in) - start >= 4:
            end = start + 4 + int.from_bytes(self._in[start : start + 4], "big")
            if len(self._in) < end:
                break
            try:
                reply = json.loads(self._in[start + 4 : end], parse_constant=_refuse)
            except ValueError:
                reply = None
            if isinstance(reply, dict):
                self.replies.append(reply)
            else:
                self.garbled += 1
            start = end
        del self._in[:start]

    def hang_up(self) -> None:
        """Close the client's end of stdin; what the bridge still says can be read."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1
            self._out.clear()

    def close(self) -> None:
        """Close both ends."""
        self.hang_up()
        if self.stdout >= 0:
            os.close(self.stdout)
            self.stdout = -1
            self.ended = True


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def frame(payload: bytes) -> bytes:
    """A payload behind its length."""
    return len(payload).to_bytes(4, "big") + payload


def wait_for(ports: Iterable[Port], seconds: float) -> None:
    """Wait until one of the ports has something to read or takes what is to be written, and do it."""
    waiting = {}
    poll = select.poll()
    for port in ports:
        if not port.ended:
            poll.register(port.stdout, select.POLLIN)
            waiting[port.stdout] = port
            if port.unwritten:
                poll.register(port.stdin, select.POLLOUT)
                waiting[port.stdin] = port
    ready = {waiting[number] for number, _ in poll.poll(seconds * 1000)} if waiting else set()
    for port in ready:
        port.turn()


class Bridge:
    """A bridge that this process has started: the launcher, and the port to it.

    Args:
        sandbox: Where it lives.
        mode: Its mode.
        number: Which worker of a pool it is.
        settings: Its variables, without their prefix.
        argv: What to run, where it is not the usual command line.
        environ: Its whole environment, where it is not the sandbox's.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        mode: Mode = "standalone",
        number: int = 0,
        *,
        settings: Mapping[str, str] | None = None,
        argv: Sequence[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        told = {f"DSPEX_TESTKIT_{name.upper()}": value for name, value in (settings or {}).items()}
        self.process = subprocess.Popen(
            argv or command_line(mode, number),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=sandbox.folder,
            env=sandbox.environment(**told) if environ is None else environ,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        # Their own copies, so that nobody closes them twice.
        ends = os.dup(self.process.stdin.fileno()), os.dup(self.process.stdout.fileno())
        self.process.stdin.close()
        self.process.stdout.close()
        self.port = Port(*ends, name=f"{mode} {number}" if mode == "pool-worker" else mode)

    def ask(self, command: str, args: Mapping[str, Any] | None = None, id: int = 1) -> dict[str, Any]:
        """The reply to one request, while there are no others.

        Raises:
            AssertionError: There is none.
        """
        reply = self.try_to_ask(command, args, id)
        assert reply is not None, f"{self.port.name} did not answer {command}: {self.end()}"
        return reply

    def try_to_ask(self, command: str, args: Mapping[str, Any] | None = None, id: int = 1) -> dict[str, Any] | None:
        """The same; None where the bridge ends, or says nothing."""
        self.port.request(id, command, args or {})
        deadline = time.monotonic() + PATIENCE
        while not self.port.replies and not self.port.ended and time.monotonic() < deadline:
            wait_for([self.port], 1.0)
        return self.port.replies.pop() if self.port.replies else None

    def end(self) -> tuple[int, str]:
        """Hang up; its exit status and what it wrote to stderr.

        Raises:
            AssertionError: It does not end.
        """
        self.port.hang_up()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.port.name} does not end when its client has gone") from None
        finally:
            self.port.close()
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            return status, stderr.read().decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.port.stdout >= 0:
            if error is not None:
                self.process.kill()
            self.end()


def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
