"""A worker without a launcher, for a harness written in Python: forked from the host of this very process."""

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dspex_testkit.errors import UsageError
from dspex_testkit.host.contact import reach
from dspex_testkit.host.messages import LONGEST_SILENCE, HandOver, Lines
from dspex_testkit.host.place import Unavailable, find_place
from dspex_testkit.runtime.arguments import read_arguments
from dspex_testkit.runtime.processes import status_of_dead

_ATTEMPTS = 3
_LINGER = 60.0


class Worker:
    """A bridge that was forked for this process, and ends with it.

    Whoever asked for it owns `stdin` and `stdout` and closes them.

    Args:
        connection: To the host, which tells how it ends.
        pid: Its process, the leader of a session and group of its own.
        stdin: Writes to it.
        stdout: Reads from it.
    """

    def __init__(self, connection: Lines, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._lines = connection
        self._status: int | None = None
        # Another thread may send a signal while this one hears of the end, and a closed descriptor is soon another's.
        self._open = threading.Lock()
        try:
            self._process: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._process = None

    def wait(self, timeout: float) -> int | None:
        """Its exit status, after at most `timeout` seconds; None if it still runs.

        One that a signal ended has the status 128 + signal; one whose host is gone has the status 1.
        """
        if self._status is not None:
            return self._status
        try:
            message = self._lines.next_within(timeout)
        except TimeoutError:
            # A host that is stopped, or too busy, does not tell.
            if (status := status_of_dead(self.pid)) is not None:
                self._status = status
                self._close()
            return self._status
        if message is not None and "exit" in message:
            self._status = int(message["exit"])
        else:
            # A host that fails says so and ends; what its workers shared is gone with it.
            self._status = 1
            self.kill()
        self._close()
        return self._status

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it; the host ends what it had started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with self._open:
            if self._process is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._process, number)

    def _close(self) -> None:
        self._lines.connection.close()
        with self._open:
            if self._process is not None:
                os.close(self._process)
                self._process = None


def start_worker(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stderr: int | None = None,
    linger: float = _LINGER,
) -> Worker:
    """Have a bridge forked, in place of starting one with the same command line.

    Args:
        argv: The command line, program included: ``python dspy_bridge.py …`` or ``python -m module …``.
        env: All of its variables; those of this process if None.
        cwd: Its working directory; that of this process if None.
        stderr: The descriptor for what it has to say before it gives up; stays the caller's.
        linger: Seconds that a host started here stays without a worker.

    Raises:
        Unavailable: There can be no host here, or it refuses; start a process instead.
        UsageError: The command line runs no bridge.
    """
    variables = dict(os.environ if env is None else env)
    program, home = _program(argv)
    arguments = read_arguments(program)
    child_in, stdin = os.pipe()
    stdout, child_out = os.pipe()
    try:
        told = HandOver.of_this_process(
            mode=arguments.mode,
            worker_id=arguments.worker_id,
            flags=arguments.flags,
            home=home,
            started=time.monotonic(),
            answered=0,
            unread=b"",
            descriptors=[child_in, child_out, *([] if stderr is None else [stderr])],
        )
        told.argv = list(argv[1:])
        told.path = None
        told.environment = variables
        told.cwd = told.cwd if cwd is None else str(cwd)
        lines, pid = _hand_over(told, linger)
    except BaseException:
        for fd in (stdin, stdout):
            os.close(fd)
        raise
    finally:
        os.close(child_in)
        os.close(child_out)
    return Worker(lines, pid, stdin, stdout)


def _hand_over(told: HandOver, linger: float) -> tuple[Lines, int]:
    """The host's lines about the worker that has been told what to be, and its process."""
    for _ in range(_ATTEMPTS):
        lines = Lines(reach(find_place(os.getpid(), told.environment), linger=linger))
        try:
            # Before there is a worker: it finds everything on the way that it was forked with.
            with suppress(ConnectionError):
                told.send(lines.connection)
            message = lines.next_within(LONGEST_SILENCE)
            if message is not None and "refused" in message:
                raise Unavailable(str(message["refused"]))
        except TimeoutError:
            lines.connection.close()
            raise Unavailable(f"the warm host has said nothing for {LONGEST_SILENCE:g} s; is it stopped?") from None
        except BaseException:
            lines.connection.close()
            raise
        if message is not None:
            return lines, int(message["worker"])
        lines.connection.close()
    raise Unavailable("the warm host ends as soon as it is started")


def _program(argv: Sequence[str]) -> tuple[list[str], str | None]:
    """The bridge's own arguments, and the folder of its settings file."""
    if len(argv) > 2 and argv[1] == "-m":
        return list(argv[3:]), None
    if len(argv) > 1 and not argv[1].startswith("-"):
        return list(argv[2:]), os.path.dirname(os.path.abspath(argv[1]))
    raise UsageError(f"wanted the command line of a bridge, such as 'python dspy_bridge.py', got {list(argv)}")
