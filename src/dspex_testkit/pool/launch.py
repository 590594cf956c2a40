"""How the process of a bridge is started: interpreter, launcher, variables, working directory, and by whom.

`Spawner` starts each one the way an Erlang port does: pipes for standard input and output, and a session and process
group of its own. Anything else that can hand out a process with two descriptors (a warm host with workers already
forked) is a `Starter` too.
"""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

from dspex_testkit.errors import WorkerStartError
from dspex_testkit.pool.dialects import Dialect

_MODULE = "dspex_testkit.launch.main"
_LOG = "DSPEX_TESTKIT_LOG"
_POOL = "DSPEX_TESTKIT_POOL"


class StartedProcess(Protocol):
    """A started process and the descriptors of its two pipes, which the caller has to close."""

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its group where it has one of its own."""
        ...

    @property
    def stdin(self) -> int:
        """The descriptor that writes to it."""
        ...

    @property
    def stdout(self) -> int:
        """The descriptor that reads from it."""
        ...

    def wait(self, timeout: float) -> int | None:
        """Its exit status, after at most `timeout` seconds; None if it still runs.

        A process that a signal ended has the status 128 + signal, as an Erlang port reports it.
        """
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it, with everything that it started."""
        ...


class Starter(Protocol):
    """Something that starts processes."""

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, stderr: int) -> StartedProcess:
        """Start a process.

        Args:
            argv: The command line, program included.
            env: All of its variables.
            cwd: Its working directory; that of this process if None.
            stderr: The descriptor that becomes its standard error; stays the caller's.

        Raises:
            WorkerStartError: The system refuses.
        """
        ...


class Spawner:
    """Starts a new process of the operating system."""

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, stderr: int) -> "SpawnedProcess":
        """Start a process, the leader of a session and group of its own.

        Raises:
            WorkerStartError: The program or the working directory does not exist, or the system refuses.
        """
        child_in, stdin = os.pipe()
        stdout, child_out = os.pipe()
        try:
            process = subprocess.Popen(
                argv, stdin=child_in, stdout=child_out, stderr=stderr, env=env, cwd=cwd, start_new_session=True
            )
        except OSError as error:
            os.close(stdin)
            os.close(stdout)
            raise WorkerStartError(
                f"the bridge's process cannot be started: {error.strerror}: {error.filename or argv[0]}; "
                f"the command line is {' '.join(argv)}",
                details={"argv": list(argv)},
            ) from None
        finally:
            os.close(child_in)
            os.close(child_out)
        return SpawnedProcess(process, stdin, stdout)


class SpawnedProcess:
    """A child process.

    Args:
        process: The child.
        stdin: Writes to it.
        stdout: Reads from it.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", stdin: int, stdout: int) -> None:
        self._process = process
        self.pid = process.pid
        self.stdin = stdin
        self.stdout = stdout

    def wait(self, timeout: float) -> int | None:
        """Its exit status, after at most `timeout` seconds; None if it still runs."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return 128 - status if status < 0 else status

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it, with everything in its group."""
        # A group outlives its leader; where neither is left there is nothing to do.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()


@dataclass(frozen=True, slots=True)
class Launch:
    """What stays the same for all processes that a harness starts."""

    script: Path | None = None
    """The ``dspy_bridge.py`` that an installation wrote, as DSPex starts it; None runs the kit's module instead."""

    python: str = sys.executable
    """The interpreter."""

    env: Mapping[str, str | None] = field(default_factory=dict)
    """Variables beside, and in place of, the inherited ones; None takes one away."""

    cwd: Path | None = None
    """Working directory; that of this process if None."""

    collect_log: bool = True
    """Whether the bridge writes its log to its standard error, where an error's message finds the end of it; an
    explicit ``DSPEX_TESTKIT_LOG`` in `env` is left alone."""

    starter: Starter = field(default_factory=Spawner)
    """Starts it; a new process of the operating system unless it says otherwise."""

    def start(self, dialect: Dialect, worker_id: str | None, *, stderr: int) -> StartedProcess:
        """Start a process.

        Args:
            dialect: Whose arguments it is given.
            worker_id: Its name in a pool.
            stderr: The descriptor that becomes its standard error; stays the caller's.

        Raises:
            WorkerStartError: The system refuses.
        """
        argv = self.argv(dialect, worker_id)
        return self.starter.start(argv, env=self.environment(), cwd=self.cwd, stderr=stderr)

    def with_env(self, **variables: str) -> Self:
        """The same launch with more variables."""
        return replace(self, env={**self.env, **variables})

    def of_one_pool(self) -> Self:
        """The same launch with a name for the pool, so that a warm host keeps its state apart from other pools'."""
        # A name from outside makes several pools share one state on purpose.
        return self if _POOL in self.environment() else self.with_env(**{_POOL: f"pool-{secrets.token_hex(4)}"})

    def argv(self, dialect: Dialect, worker_id: str | None) -> tuple[str, ...]:
        """The command line, with exactly the arguments that DSPex gives."""
        argv = [self.python, *([str(self.script)] if self.script else ["-m", _MODULE])]
        if dialect.mode != "standalone":
            argv += ["--mode", dialect.mode]
        if dialect.tells_worker_id and worker_id:
            argv += ["--worker-id", worker_id]
        return tuple(argv)

    def environment(self) -> dict[str, str]:
        """All variables of the process."""
        collected = {_LOG: "stderr"} if self.collect_log and _LOG not in os.environ else {}
        wanted = {**os.environ, **collected, **self.env}
        return {name: value for name, value in wanted.items() if value is not None}
