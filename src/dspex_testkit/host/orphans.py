"""What a worker had started and could not end any more, because it was killed."""

import os
import signal
from collections.abc import Collection
from contextlib import suppress

from dspex_testkit.runtime.processes import children, descendants, every

_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Have what loses its parent below this process become its child, where the kernel knows how."""
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_leftovers(worker: int, *, known: Collection[int]) -> None:
    """End the processes that an ended worker has left: its session's, and those that this process was given as orphans.

    Args:
        worker: The process that has ended.
        known: Children that live on; so does what has lost its parent but not the session of one of theirs.
    """
    spared: set[int] = set()
    while leftovers := [pid for pid in _candidates(worker) if pid not in known and pid not in spared]:
        sessions = {*known, *(below for child in known for below in descendants(child) or ())}
        # Killing one makes orphans of those below it, hence the next turn.
        spared.update(pid for pid in leftovers if _session(pid) in sessions or not _end(pid))


def _candidates(worker: int) -> list[int]:
    own = os.getpid()
    if (adopted := children(own)) is not None:
        return adopted
    return [pid for pid, parent, session in every() if parent == own or session == worker]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _end(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False  # gone, or of another user by now
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return False  # no child of this process; its own parent waits for it
    return True
