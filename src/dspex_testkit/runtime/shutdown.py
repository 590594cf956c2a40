"""The only way out of a bridge's process: at once, with nothing left behind.

An interpreter that winds down in the ordinary way waits for threads, and an execution in a thread may take minutes;
a client that went away has half a second of patience. So the process ends here, by `os._exit`, after what must not
be left behind has been dealt with: child processes, the scratch folder, measured coverage.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

GRACE = 0.3
"""Seconds after the end of the input in which answers to what was asked before it may still be written."""

_scratch: "list[tuple[int, str]]" = []
_guardian: "int | None" = None


def remove_when_leaving(folder: str) -> None:
    """Have a folder of this process removed when it ends."""
    _scratch.append((os.getpid(), folder))


def leave_orphans_to_parent() -> None:
    """Look for no orphans when leaving: the parent of this process adopts and ends them."""
    global _guardian
    _guardian = os.getppid()


def leave(status: int, *, alone: bool = False) -> "NoReturn":
    """End the process now, from any thread.

    Args:
        status: 0 for every end that a client caused, non-zero for a failure of ours.
        alone: Nothing was started that could stay behind.
    """
    try:
        if not alone:
            kill_descendants()
        remove_scratch()
        _save_coverage()
    finally:
        os._exit(status)


def kill_descendants() -> None:
    """Kill the processes that this one has started, and those they have started."""
    from signal import SIG_IGN, SIGKILL, SIGTERM, signal

    family = _family()
    if family is None:
        # Without /proc only a group of our own can be told from the rest of the system.
        if os.getpgrp() == os.getpid():
            try:
                signal(SIGTERM, SIG_IGN)
            except ValueError:
                return  # not the main thread: the group's signal would hit this process before it has left
            os.killpg(0, SIGTERM)
        return
    for pid in family:
        try:
            os.kill(pid, SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    _reap(family)


def _reap(family: "list[int]") -> None:
    """Wait for children just killed, so that no zombie stays: not every container has a first process that does."""
    for _ in range(20):
        for pid in list(family):
            try:
                gone = os.waitpid(pid, os.WNOHANG)[0]
            except ChildProcessError:
                gone = pid  # a grandchild, or another thread has waited for it
            if gone:
                family.remove(pid)
        if not family:
            return
        time.sleep(0.002)


def _family() -> "list[int] | None":
    """Every descendant; where this process leads a session, also what was orphaned in it. None without /proc."""
    from dspex_testkit.runtime.processes import descendants, every

    own = os.getpid()
    # A bridge of its own has nobody to look after its orphans, and has to find them in the list of all processes.
    if os.getppid() == _guardian and (below := descendants(own)) is not None:
        return below
    try:
        entries = list(every())
    except OSError:
        return None
    session = own if os.getsid(0) == own else None
    family = {pid for pid, _, its_session in entries if its_session == session}
    size = 0
    while len(family) > size:
        size = len(family)
        family |= {pid for pid, parent, _ in entries if parent == own or parent in family}
    return list(family - {own})


def remove_scratch() -> None:
    """Remove the folders of this process, not those of one that it was forked from."""
    for pid, folder in _scratch:
        if pid != os.getpid():
            continue
        try:
            os.rmdir(folder)
        except OSError:
            from shutil import rmtree

            rmtree(folder, ignore_errors=True)


def _save_coverage() -> None:
    # coverage.py writes its data when the interpreter winds down, which this process never does.
    coverage = sys.modules.get("coverage")
    if coverage is not None and (running := coverage.Coverage.current()) is not None:
        running.stop()
        running.save()
