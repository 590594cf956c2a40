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

_scratch: "list[str]" = []


def remove_when_leaving(folder: str) -> None:
    """Have a folder of this process removed when it ends."""
    _scratch.append(folder)


def leave(status: int) -> "NoReturn":
    """End the process now, from any thread.

    Args:
        status: 0 for every end that a client caused, non-zero for a failure of ours.
    """
    try:
        kill_descendants()
        _remove_scratch()
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
    """Take leave of children just killed: not every first process of a container does it for us."""
    for _ in range(20):
        for pid in list(family):
            try:
                gone = os.waitpid(pid, os.WNOHANG)[0]
            except ChildProcessError:
                gone = pid  # a grandchild, or somebody else has taken leave of it
            if gone:
                family.remove(pid)
        if not family:
            return
        time.sleep(0.002)


def _family() -> "list[int] | None":
    """Every descendant; where this process leads a session, also what was orphaned in it. None without /proc."""
    try:
        entries = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return None
    own = os.getpid()
    session = own if os.getsid(0) == own else None
    parents: dict[int, int] = {}
    family = []
    for pid in entries:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                # The name in parentheses may itself contain blanks and parentheses.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        parents[pid] = int(fields[1])
        if session is not None and int(fields[3]) == session and pid != own:
            family.append(pid)
    known = {own}
    grown = True
    while grown:
        young = {pid for pid, parent in parents.items() if parent in known and pid not in known}
        grown = bool(young)
        known |= young
    return [*family, *(known - {own} - set(family))]


def _remove_scratch() -> None:
    for folder in _scratch:
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
