"""Which of the processes that this one started are still there.

A harness that leaves processes behind costs its user a hunt, so everything that was started is remembered by its
process group until that is seen to be empty.
"""

import os
import threading

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


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        # A process that leads no group of its own is looked for by its own id.
        try:
            os.kill(group, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
    except PermissionError:
        return True
    return True
