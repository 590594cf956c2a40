"""Scratch folders of processes, which go with the process, or with the next one that starts where it was killed.

A folder is locked as long as its process lives. A lock, unlike a process id, is never somebody else's by accident: not
after a restart, and not in another container that has the same folder for temporary files.
"""

import fcntl
import os
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "dspex-testkit-"
_MARK = "-scratch"


def make_scratch() -> str:
    """Make a folder that only this user can read, without `tempfile`, which is slow to import before a first ping."""
    while True:
        folder = os.path.join(_parent(), f"{_PREFIX}{os.getpid()}-{os.urandom(8).hex()}{_MARK}")
        os.mkdir(folder, 0o700)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
        except OSError:
            return folder  # a file system without locks; such a folder is only removed by its own process
        # Between the two steps somebody may have taken it for one that was left behind.
        if os.path.exists(folder):
            return folder
        os.close(held)


def remove_left_scratch() -> None:
    """Remove the folders of this user's processes that were killed."""
    from shutil import rmtree

    parent = _parent()
    try:
        names = os.listdir(parent)
    except OSError:
        return  # gone, or not to be read; whoever starts lives on without it
    for name in names:
        if name.startswith(_PREFIX) and name.endswith(_MARK):
            folder = os.path.join(parent, name)
            try:
                held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError:
                continue  # somebody else's, or just gone
            try:
                if os.fstat(held).st_uid == os.geteuid():
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    rmtree(folder, ignore_errors=True)
            except OSError:
                continue  # its process lives
            finally:
                os.close(held)


@contextmanager
def scratch() -> "Iterator[str]":
    """A folder for the length of a block, at whose beginning those of killed processes are removed."""
    from shutil import rmtree

    remove_left_scratch()
    folder = make_scratch()
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def _parent() -> str:
    return os.environ.get("TMPDIR") or "/tmp"
