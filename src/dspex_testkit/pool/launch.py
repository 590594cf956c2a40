"""How the process of a bridge is started: interpreter, launcher, variables, working directory, and by whom."""

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from dspex_testkit.pool.dialects import Dialect
from dspex_testkit.pool.starting import Spawner, StartedProcess, Starter

_MODULE = "dspex_testkit.launch.main"
_LOG = "DSPEX_TESTKIT_LOG"
_POOL = "DSPEX_TESTKIT_POOL"


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
