"""Disks on which nothing more can be written, and users who may not write."""

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.hosts import all_hosts

NOBODY = 65534
_SIZE = 4 << 20


class SmallDisk:
    """A folder on a disk that can be filled to the last byte, and emptied again.

    Args:
        folder: Where it is.
        mounted: Whether it is a file system of its own; else processes are kept from writing to any file.
    """

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self._mounted = mounted
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no room, neither for this process nor for bridges that run."""
        if not self._mounted:
            self._limit_files(0)
            return
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                # Pieces become smaller towards the end; what is written is never punched out again.
                file.write(b"\1" * 4096)

    def free(self) -> None:
        """Make room again."""
        if self._mounted:
            self._filler.unlink(missing_ok=True)
        else:
            self._limit_files(resource.RLIM_INFINITY)

    @staticmethod
    def _limit_files(size: int) -> None:
        own = psutil.Process()
        family = [own, *own.children(recursive=True)]
        for host in all_hosts():
            family += [host, *host.children(recursive=True)]
        for process in family:
            with suppress(ProcessLookupError, PermissionError):
                _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
                limit = hard if size == resource.RLIM_INFINITY else size
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, hard))


@contextmanager
def small_disk() -> Iterator[SmallDisk]:
    """A file system of its own where root may mount one, else a folder whose files cannot grow while it is full."""
    folder = Path(tempfile.mkdtemp(prefix="dspex-testkit-disk-"))
    mounted = os.geteuid() == 0 and _run("mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=755", "tmpfs", str(folder))
    disk = SmallDisk(folder, mounted=mounted)
    try:
        yield disk
    finally:
        disk.free()
        if mounted:
            # Bridges of other tests may still have a file open there.
            _run("umount", "--lazy", str(folder))
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write into the folder while the block runs; root, whom no mode keeps out, is somebody else meanwhile.

    Whatever the block needs must be imported: somebody else may not enter every folder of this interpreter.
    """
    folder.chmod(0o555)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)
        folder.chmod(0o755)


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
