"""What a worker had started and could not end any more, because it was killed."""

import os
import signal
from collections.abc import Container
from contextlib import suppress


def end_leftovers(worker: int, *, known: Container[int]) -> None:
    """End every process of a session that a worker led, and what has become this process's child by being orphaned.

    Args:
        worker: The process that has ended.
        known: Children that live on.
    """
    own = os.getpid()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                _, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
        except OSError:
            continue
        pid = int(entry)
        adopted = int(parent) == own and pid not in known
        if int(session) == worker or adopted:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if adopted:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def adopt_orphans() -> None:
    """Have what loses its parent below this process become its child, where the kernel knows how."""
    import ctypes

    set_child_subreaper = 36
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)
