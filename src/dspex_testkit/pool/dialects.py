"""What each of DSPex's launchers does differently on the same wire.

A dialect is data: which arguments a process is started with, how its first ping looks and how long it may take, how
answers find their requests, and how it is sent away. `STANDALONE` is the single bridge; `V1`, `V2` and `V3` are the
three generations of pools, of which V2 is the one in use.
"""

from dataclasses import dataclass
from typing import Any, Literal

Correlation = Literal["by_id", "one_at_a_time", "first_packet"]
"""How an answer finds its request: by its id with any number in flight, by its id with one command in flight, or by
being the first packet that comes, whose id must then be right."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one of DSPex's launchers talks to its processes; times are in seconds."""

    name: str
    """For messages and test ids."""

    mode: Literal["standalone", "pool-worker"]
    """What stands behind ``--mode``; a standalone process is started without it."""

    tells_worker_id: bool
    """Whether ``--worker-id`` is on the command line; without it the id is in the first ping only."""

    correlation: Correlation
    """How an answer finds its request."""

    init_ping_id: int | None
    """Id of the first ping; None takes the next unique one."""

    init_timeout: float
    """How long the first ping may take."""

    init_needs_ok: bool
    """Whether the first ping's result must say ``"status": "ok"``; otherwise any success will do."""

    call_timeout: float
    """How long a command may take unless the caller says otherwise."""

    checkout_timeout: float
    """How long a caller waits for a worker."""

    farewell: tuple[str, int | None, float] | None
    """Command, id and patience with which a process is sent away; None begins with SIGTERM."""

    farewell_ends_with_reply: bool = False
    """Whether the patience is for the answer rather than for the process to end."""

    eof_patience: float = 1.0
    """How long the end of its input may take to end it."""

    kill_after: float = 0.5
    """How long SIGTERM may take before SIGKILL."""

    serial_start: bool = True
    """Whether a pool starts its workers one after the other."""

    eager: bool = False
    """Whether a pool starts its workers with itself, and replaces one that ended at once."""

    failure_limit: int | None = 3
    """Failures in a row after which a pool removes a worker; None keeps every worker that lives."""

    anonymous_session: str | None = "anonymous"
    """The session id that goes with a call without a session; None sends none."""

    def init_args(self, worker_id: str | None) -> dict[str, Any]:
        """Arguments of the first ping."""
        if self.mode == "standalone":
            return {}
        return {"initialization": True, "worker_id": worker_id}


STANDALONE = Dialect(
    name="standalone",
    mode="standalone",
    tells_worker_id=False,
    correlation="by_id",
    init_ping_id=1,
    # DSPex sends this ping and never reads the answer; a harness that says why a start failed has to wait for it.
    init_timeout=20.0,
    init_needs_ok=False,
    call_timeout=30.0,
    checkout_timeout=30.0,
    farewell=("cleanup", 999_999, 2.0),
    farewell_ends_with_reply=True,
)

V1 = Dialect(
    name="v1",
    mode="pool-worker",
    tells_worker_id=True,
    correlation="first_packet",
    init_ping_id=1,
    init_timeout=5.0,
    init_needs_ok=False,
    call_timeout=5.0,
    checkout_timeout=75.0,
    farewell=("shutdown", None, 1.0),
)

V2 = Dialect(
    name="v2",
    mode="pool-worker",
    tells_worker_id=True,
    correlation="first_packet",
    init_ping_id=0,
    init_timeout=10.0,
    init_needs_ok=False,
    call_timeout=60.0,
    checkout_timeout=75.0,
    farewell=("shutdown", None, 1.0),
)

V3 = Dialect(
    name="v3",
    mode="pool-worker",
    tells_worker_id=False,
    correlation="one_at_a_time",
    init_ping_id=None,
    init_timeout=20.0,
    init_needs_ok=True,
    call_timeout=30.0,
    checkout_timeout=5.0,
    farewell=None,
    serial_start=False,
    eager=True,
    failure_limit=None,
    anonymous_session=None,
)
