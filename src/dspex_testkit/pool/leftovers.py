"""Which of the processes that this one started are still there.

A harness that leaves processes behind costs its user a hunt, so everything that was started is remembered by its
process group until that is seen to be empty.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from dspex_testkit.errors import ProcessesLeftError

_lock = threading.Lock()
_groups: set[int] = set()


def remember(pid: int) -> None:
    """Note a process that was started, the leader of its group."""
    with _lock:
        _groups.add(pid)


def left() -> tuple[int, ...]:
    """Groups (by their leader's id) of which a process still exists, in the order of their ids."""
    with _lock:
        _groups.intersection_update({pid for pid in _groups if _exists(pid)})
        return tuple(sorted(_groups))


def assert_none_left() -> None:
    """Check that every process that was started has ended, children included.

    Raises:
        ProcessesLeftError: Some have not.
    """
    if pids := left():
        raise ProcessesLeftError(
            f"{len(pids)} bridge processes are still there: {', '.join(map(str, pids))}; "
            "stop every BridgeProcess and BridgePool that was started, or use them as context managers",
            details={"pids": list(pids)},
        )


def _exists(pid: int) -> bool:
    # A process that leads no group of its own is looked for by its own id.
    return (_answers(os.killpg, pid) and _has_living_member(pid)) or (_answers(os.kill, pid) and _state(pid) != b"Z")


def _answers(send: Callable[[int, int], None], id: int) -> bool:
    try:
        send(id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _has_living_member(group: int) -> bool:
    """Whether a group has more than dead processes that nobody has waited for; true where that cannot be told."""
    try:
        entries = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    except OSError:
        return True
    for entry in entries:
        try:
            stat = _fields(entry)
        except OSError:
            continue
        if int(stat[2]) == group and stat[0] != b"Z":
            return True
    return False


def _state(pid: int) -> bytes:
    try:
        return _fields(Path("/proc") / str(pid))[0]
    except OSError:
        return b"?"


def _fields(entry: Path) -> list[bytes]:
    """State, parent and group of a process, and more; its name before them may contain anything."""
    return (entry / "stat").read_bytes().rpartition(b")")[2].split()
