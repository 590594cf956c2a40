"""Workers from a warm host, for whoever does not test how DSPex starts them.

The host is the one part of the runtime that the harness knows, and only once it is wanted.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dspex_testkit.pool.launch import Spawner, StartedProcess


def shares_state(env: Mapping[str, str]) -> bool:
    """Whether pool workers with these variables come from a warm host, and so share their pool's state."""
    from dspex_testkit.host.place import Unavailable, find_place

    if env.get("DSPEX_TESTKIT_HOST") == "off":
        return False
    try:
        find_place(os.getpid())
    except Unavailable:
        return False
    return True


class WarmStarter:
    """Has processes forked from this process's warm host, which has DSPy loaded, instead of starting them.

    There is no launcher between the harness and the bridge. Where there can be no host, ``DSPEX_TESTKIT_HOST`` is
    ``off`` in the process's variables, or another interpreter than this process's is wanted, a process is started as
    usual.
    """

    def __init__(self) -> None:
        self._spawner = Spawner()

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, stderr: int) -> StartedProcess:
        """Have a worker forked.

        Raises:
            WorkerStartError: There is no host, and the system refuses to start a process.
            UsageError: The command line runs no bridge.
        """
        from dspex_testkit.host.direct import start_worker
        from dspex_testkit.host.place import Unavailable

        if env.get("DSPEX_TESTKIT_HOST") != "off" and argv[0] == sys.executable:
            try:
                return start_worker(argv, env=env, cwd=cwd, stderr=stderr)
            except Unavailable:
                pass
        return self._spawner.start(argv, env=env, cwd=cwd, stderr=stderr)
