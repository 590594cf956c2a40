"""`dspex-testkit record -- COMMAND`: the bridges that a command starts record, and it is kept if the command succeeds.

Each process writes files of its own into a waiting room, so several may record one session; afterwards their
recordings are put together in the order in which they were made. A waiting room whose recordings could not be written
is kept for the next run; one that a killed run has left is removed by it.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dspex_testkit.cassettes.document import Document, RecordedLM, read_document
from dspex_testkit.cassettes.files import RecorderLock, refuse_read_only
from dspex_testkit.cassettes.library import cassette_files
from dspex_testkit.cassettes.matching import MatchRules
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.saving import save
from dspex_testkit.errors import CassetteWriteError, NothingRecordedError, UsageError
from dspex_testkit.redaction import Secrets, secrets_of_environment

_WAITING = ".recording-"
_UNWRITTEN = ".unwritten-"


@dataclass(frozen=True, slots=True)
class RecordedCommand:
    """What came of a command."""

    status: int
    """Its exit status."""
    written: tuple[Path, ...]
    """Cassettes that are new or changed."""


def record_command(command: Sequence[str], *, folder: Path, mode: RecordMode) -> RecordedCommand:
    """Run a command whose bridges record.

    Raises:
        NothingRecordedError: It succeeded, and nothing was recorded.
        CassetteWriteError: What was recorded cannot be written now; it waits for the next call.
        CassetteError: A recording cannot be kept.
        UsageError: There is no such command, or the mode records nothing.
    """
    if not mode.may_write:
        raise UsageError(f"Record mode {str(mode)!r} records nothing; use once, new_episodes, all or rewrite")
    folder = folder.resolve()
    refuse_read_only(folder / "any.yaml")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CassetteWriteError(f"{folder} cannot be made: {error.strerror}; name another folder") from error
    for unwritten in sorted(folder.glob(f"{_UNWRITTEN}*")):
        _promote(unwritten, folder, RecordMode.NEW_EPISODES)
        shutil.rmtree(unwritten, ignore_errors=True)
    before = _contents(folder)
    with _waiting_room(folder) as waiting:
        status = _run(command, folder, mode, waiting)
        try:
            promoted = _promote(waiting, folder, mode) if status == 0 else ()
        except CassetteWriteError as error:
            kept = waiting.rename(waiting.with_name(waiting.name.replace(_WAITING, _UNWRITTEN)))
            raise type(error)(
                f"{error.message}. What was recorded is kept in {kept}, and the next 'dspex-testkit record' into this "
                "folder writes it",
                details=error.details,
            ) from error
    # Cassettes that clients opened and ejected by name were written by the bridges themselves.
    named = [path for path, content in _contents(folder).items() if before.get(path) != content]
    written = tuple(sorted({*promoted, *named}))
    if status == 0 and not written and not (before and mode in (RecordMode.ONCE, RecordMode.NEW_EPISODES)):
        raise NothingRecordedError(
            f"{command[0]} succeeded, and no bridge recorded anything into {folder}; does it start one, and does that "
            "bridge ask an LM of a real provider?",
            details={"folder": str(folder)},
        )
    return RecordedCommand(status, written)


@contextmanager
def _waiting_room(folder: Path) -> Iterator[Path]:
    """A folder for the recordings of one run, locked as long as the run lives."""
    for left in folder.glob(f"{_WAITING}*"):
        with suppress(OSError):
            os.close(_lock(left))
            shutil.rmtree(left, ignore_errors=True)
    try:
        waiting = Path(tempfile.mkdtemp(prefix=_WAITING, dir=folder))
        held = _lock(waiting)
    except OSError as error:
        raise CassetteWriteError(f"{folder} cannot be written: {error.strerror}; make room there") from error
    try:
        yield waiting
    finally:
        os.close(held)
        shutil.rmtree(waiting, ignore_errors=True)


def _lock(folder: Path) -> int:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def _run(command: Sequence[str], folder: Path, mode: RecordMode, waiting: Path) -> int:
    environment = {
        **os.environ,
        "DSPEX_TESTKIT_OFFLINE_POLICY": "record",
        "DSPEX_TESTKIT_CASSETTES": str(folder),
        "DSPEX_TESTKIT_RECORD_MODE": str(mode),
        "DSPEX_TESTKIT_RECORD_STAGING": str(waiting),
    }
    try:
        return subprocess.run(list(command), env=environment, check=False).returncode
    except (FileNotFoundError, PermissionError) as error:
        raise UsageError(f"{command[0]} cannot be run: {error.strerror}") from error


def _promote(waiting: Path, folder: Path, mode: RecordMode) -> tuple[Path, ...]:
    parts: dict[str, list[Document]] = defaultdict(list)
    for path in sorted(waiting.glob("*~*.yaml")):
        parts[path.stem.rpartition("~")[0]].append(read_document(path))
    written = []
    for name, documents in parts.items():
        path = folder / f"{name}.yaml"
        lock = RecorderLock(path)
        try:
            save(path, _joined(path, documents, mode), secrets=Secrets(secrets_of_environment()))
        finally:
            lock.release()
        written.append(path)
    return tuple(written)


def _joined(path: Path, documents: Sequence[Document], mode: RecordMode) -> Document:
    recorded = sorted(
        (interaction for document in documents for interaction in document.interactions),
        key=lambda interaction: interaction.recorded_at or "",
    )
    old = read_document(path) if path.exists() and mode is not RecordMode.REWRITE else Document()
    kept = old.interactions
    if mode is RecordMode.ALL:
        rules = MatchRules()
        again = {rules.key(interaction.request) for interaction in recorded}
        kept = tuple(interaction for interaction in kept if rules.key(interaction.request) not in again)
    interactions = (*kept, *(each.to_the_second() for each in recorded))
    lms: dict[str, RecordedLM] = {lm.model: lm for document in (old, *documents) for lm in document.lms}
    used = {interaction.model for interaction in interactions}
    return Document(interactions, tuple(lm for lm in lms.values() if lm.model in used), old.format)


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in cassette_files([folder])}
