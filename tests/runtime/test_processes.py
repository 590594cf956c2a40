"""What is below a process, as `/proc` tells it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from dspex_testkit.runtime.processes import children, descendants, every

PARENT = """
import subprocess, sys, threading
def start():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin)
    print(child.pid, flush=True)
    child.wait()
threading.Thread(target=start).start()
"""


@pytest.fixture
def parent() -> Iterator[tuple[int, int]]:
    """A process, in a session of its own, and the child that one of its threads has started."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.communicate(b"\n")


def test_children_of_every_thread_are_children(parent: tuple[int, int]) -> None:
    """And theirs are descendants."""
    pid, child = parent
    assert children(pid) == [child]
    below = descendants(os.getpid())
    assert below is not None
    assert {pid, child} <= set(below)
    assert set(below) <= {process.pid for process in psutil.Process().children(recursive=True)}


def test_a_process_that_is_gone_has_no_children() -> None:
    """It is no failure to ask."""
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    assert children(done.pid) == []


def test_the_list_of_all_processes_tells_parent_and_session(parent: tuple[int, int]) -> None:
    """Where the kernel keeps no lists of children, and for what has lost its parent."""
    pid, child = parent
    entries = list(every())
    assert (pid, os.getpid(), pid) in entries
    assert (child, pid, pid) in entries
