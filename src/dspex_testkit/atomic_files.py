"""Files that are replaced in one step, and drafts that nobody leaves behind.

What is written goes into a draft beside the file and takes its place when it is whole: whoever reads, also after a
crash, finds the old content or the new. A draft is locked as long as its writer lives, so the next writer in the same
folder knows which ones were left by processes that were killed, and removes them.
"""

import fcntl
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

_DRAFT = ".dspex-testkit-draft"


def replace_file(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file, in a folder that is made if it does not exist.

    Args:
        path: The file.
        content: All of it.
        mode: Its permissions; those that it had, else those of a new file, if None.

    Raises:
        OSError: It cannot be written; what was there stays, and no draft is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_drafts(path.parent)
    if mode is None:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
    handle, draft = _open_draft(path)
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(content)
        os.fchmod(handle, mode)
        os.fsync(handle)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    finally:
        os.close(handle)
    _sync_folder(path.parent)


def remove_drafts(folder: Path) -> int:
    """Remove what killed writers have left in a folder; returns how many drafts that were."""
    removed = 0
    with suppress(OSError):
        for draft in folder.glob(f".*{_DRAFT}"):
            with suppress(OSError):
                handle = os.open(draft, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    draft.unlink()
                    removed += 1
                finally:
                    os.close(handle)
    return removed


def _open_draft(path: Path) -> tuple[int, Path]:
    while True:
        draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{_DRAFT}")
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with suppress(OSError):  # a file system without locks; a draft is then only removed by its writer
            fcntl.flock(handle, fcntl.LOCK_EX)
        # Between the two steps somebody may have taken it for one that was left behind.
        if draft.exists():
            return handle, draft
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    # The new name is part of the folder; without this a power cut may bring the old file back.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
