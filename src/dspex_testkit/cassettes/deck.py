"""`CassetteDeck`: the cassettes of a bridge, one per session.

A session plays the cassette that it was told to use, else one that is named like the session. Recordings of a named
cassette are kept when it is ejected as passed; recordings that nobody ever ejects are written as they are made, into
the folder itself or, where a command is being recorded, into a folder from which they are promoted when it succeeds.
"""

import os
import re
import threading
from dataclasses import replace
from pathlib import Path

from dspex_testkit.cassettes.files import resolve_inside
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.opened import CassetteOptions, OpenCassette
from dspex_testkit.cassettes.report import CassetteReport
from dspex_testkit.errors import CassetteError, UsageError

NO_SESSION = "default"
"""The cassette of callers without a session."""


class CassetteDeck:
    """Opens, finds and ejects the cassettes of sessions.

    Args:
        folder: Where cassettes lie; names are relative to it.
        record: Whether an LM may be asked; without it only mode `none` is possible.
        mode: The mode of cassettes that nobody opened by name.
        staging: Where recordings wait that nobody ejects; None to write them into the folder at once.
        options: How cassettes are used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        record: bool,
        mode: RecordMode = RecordMode.ONCE,
        staging: Path | None = None,
        options: CassetteOptions | None = None,
    ) -> None:
        self.folder = folder
        self.records = record
        self.mode = mode if record else RecordMode.NONE
        self.staging = staging
        self._options = options or CassetteOptions()
        self._open: dict[str | None, OpenCassette] = {}
        self._named: set[str | None] = set()
        self._lock = threading.RLock()

    def use(
        self, session_id: str | None, name: str, mode: str | None = None, *, options: CassetteOptions | None = None
    ) -> OpenCassette:
        """Have a session play, or record, a named cassette.

        Args:
            session_id: The session; None for callers without one.
            name: The cassette's.
            mode: What to do; as the deck does by default if None.
            options: How to do it; as the deck does by default if None.

        Raises:
            CassetteError: It cannot be opened, or the session has one already.
            UsageError: The mode is none, or needs an LM that may not be asked.
        """
        wanted = RecordMode.of(mode) if mode else self.mode
        if wanted is not RecordMode.NONE and not self.records:
            raise UsageError(
                f"Record mode {str(wanted)!r} needs a live LM; start the bridge with the offline policy 'record'"
            )
        path = resolve_inside(self.folder, name)
        with self._lock:
            if session_id in self._named:
                raise CassetteError(
                    f"The session uses {self._open[session_id].path.name} already; eject it before it uses another",
                    details={"session_id": session_id, "cassette": str(self._open[session_id].path)},
                )
            cassette = OpenCassette(path, wanted, options or self._options)
            if (unnamed := self._open.pop(session_id, None)) is not None:
                unnamed.discard()
            self._open[session_id] = cassette
            self._named.add(session_id)
        return cassette

    def eject(self, session_id: str | None, *, passed: bool) -> CassetteReport:
        """End the use of a named cassette, and keep what was recorded if the test passed.

        Raises:
            CassetteError: There is none, or what was recorded cannot be kept.
        """
        with self._lock:
            if session_id not in self._named:
                raise CassetteError("The session uses no cassette; use_cassette gives it one")
            self._named.discard(session_id)
            cassette = self._open.pop(session_id)
        if passed:
            return cassette.commit()
        cassette.discard()
        return cassette.report()

    def current(self, session_id: str | None) -> OpenCassette:
        """The cassette of a session; opened by the session's own name where it was told none.

        Raises:
            CassetteError: It cannot be opened.
        """
        with self._lock:
            if (cassette := self._open.get(session_id)) is None:
                cassette = self._open[session_id] = self._open_unnamed(session_id)
            return cassette

    def forget(self, session_id: str | None) -> None:
        """End the use of a session's cassette, if it has one; what was not kept is gone."""
        with self._lock:
            self._named.discard(session_id)
            cassette = self._open.pop(session_id, None)
        if cassette is not None:
            cassette.discard()

    def close(self) -> None:
        """Forget what was not ejected, except for what is written already."""
        with self._lock:
            for cassette in self._open.values():
                cassette.discard()
            self._open.clear()
            self._named.clear()

    def _open_unnamed(self, session_id: str | None) -> OpenCassette:
        name = re.sub(r"[^\w.-]+", "_", session_id or NO_SESSION).strip(".") or NO_SESSION
        path = resolve_inside(self.folder, f"{name}.yaml")
        options = replace(self._options, write_through=True)
        if self.staging is not None and self.records:
            options = replace(options, write_to=self.staging / f"{path.stem}~{os.getpid()}.yaml")
        return OpenCassette(path, self.mode, options)
