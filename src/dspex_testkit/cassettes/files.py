"""Cassettes as files: read whole, written whole, by one recorder at a time."""

import hashlib
import os
import stat
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from dspex_testkit.atomic_files import replace_file
from dspex_testkit.errors import (
    CassetteBusyError,
    CassetteNotFoundError,
    CassettePathError,
    CassetteReadOnlyError,
    CassetteWriteError,
)
from dspex_testkit.limits import brief


def cache_folder() -> Path:
    """Where copies and locks lie: outside every repository, and of no value to keep."""
    return user_cache_path("dspex-testkit") / "cassettes"


def resolve_inside(folder: Path, name: str | os.PathLike[str], *, suffix: str = ".yaml") -> Path:
    """The file of a named cassette, certainly inside its folder, links followed.

    Raises:
        CassettePathError: The name is absolute, leads out of the folder, or is none.
    """
    written = os.fspath(name)
    wanted = Path(written)
    if not written or "\0" in written or wanted.is_absolute() or ".." in wanted.parts or "\\" in written:
        raise CassettePathError(
            f"A cassette is named relative to {folder}, without '..'; {brief(written)} is not",
            details={"folder": str(folder), "name": written},
        )
    if wanted.suffix not in (".yaml", ".yml"):
        wanted = wanted.with_name(wanted.name + suffix)
    try:
        path = (folder / wanted).resolve()
        path.exists()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CassettePathError(
            f"{brief(written)} cannot be the name of a cassette: {reason}",
            details={"folder": str(folder), "name": written[:100].encode(errors="replace").decode()},
        ) from None
    if not path.is_relative_to(folder.resolve()):
        raise CassettePathError(
            f"{folder / wanted} is a link that leads out of {folder}, to {path}; cassettes stay inside",
            details={"folder": str(folder), "name": written},
        )
    return path


def read_bytes(path: Path) -> bytes:
    """A cassette's content.

    Raises:
        CassetteNotFoundError: There is no such file.
        CassettePathError: It is no file, or may not be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CassetteNotFoundError(
            f"There is no cassette {path}; record it first, with record_mode='once' or --lm-record-mode=once",
            details={"path": str(path)},
        ) from None
    except OSError as error:
        raise CassettePathError(f"{path} cannot be read: {error.strerror}", details={"path": str(path)}) from error


def refuse_read_only(path: Path) -> None:
    """Check that a recording can be written, before the provider is paid for it.

    Raises:
        CassetteReadOnlyError: The file, or the folder where it would lie, may not be written.
    """
    # The bits as well as the right: root may write everything, and still the file's owner meant what they say.
    if exists(path) and not (path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)):
        raise CassetteReadOnlyError(
            f"{path} is read-only; make it writable, or replay it with record_mode='none'", details={"path": str(path)}
        )
    folder = path.parent
    while not exists(folder):
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise CassetteReadOnlyError(
            f"{folder} may not be written; make it writable, or replay with record_mode='none'",
            details={"path": str(path)},
        )


def exists(path: Path) -> bool:
    """Whether there is such a file or folder.

    Raises:
        CassettePathError: Nobody may look there.
    """
    try:
        return path.exists()
    except OSError as error:
        raise CassettePathError(f"{path} cannot be reached: {error.strerror}", details={"path": str(path)}) from error


def write_atomically(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace a file atomically: readers find the old content or the new, also after a crash.

    Raises:
        CassetteWriteError: The disk is full or damaged, or the folder may not be written; the old content is there.
    """
    try:
        replace_file(path, content, mode=mode)
    except OSError as error:
        raise CassetteWriteError(
            f"{path} cannot be written: {error.strerror or error}; make room there, or make the folder writable",
            details={"path": str(path), "reason": error.strerror or str(error)},
        ) from error


class RecorderLock:
    """A lock that allows one recorder per cassette across threads and processes; released when the process ends.

    Raises:
        CassetteBusyError: Another recorder has it.
        CassetteWriteError: Nothing can be written where locks lie.
    """

    def __init__(self, path: Path) -> None:
        name = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=16).hexdigest()
        folder = cache_folder() / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / f"{name}.lock", thread_local=False)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise CassetteBusyError(
                f"{path} is being recorded by somebody else; one recorder per cassette, so give each test its own",
                details={"path": str(path)},
            ) from None
        except OSError as error:
            raise CassetteWriteError(
                f"{path} cannot be recorded, because {folder}, where recorders keep out of each other's way, cannot be "
                f"written: {error.strerror or error}; make room there, or set XDG_CACHE_HOME to a folder that can",
                details={"path": str(path), "reason": error.strerror or str(error)},
            ) from error

    def release(self) -> None:
        """Let others record."""
        self._lock.release()
