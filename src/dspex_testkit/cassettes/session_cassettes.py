"""`CassetteDeck`: the cassettes of a bridge, or of a pool's bridges, one per session.

A session plays the cassette that it was told to use, else one that is named like the session. Recordings of a named
cassette are kept when it is ejected as passed; recordings that nobody ever ejects are written as they are made, into
the folder itself or, where a command is being recorded, into a folder from which they are promoted when it succeeds.

Whoever asks may be in another process than the deck, so that a pool has one recorder however many workers it has:
`take`, `keep` and the rest take and give values only.
"""

import logging
import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from dspex_testkit.cassettes.api import cassette_options, sent_options
from dspex_testkit.cassettes.cassette import CassetteOptions, OpenCassette
from dspex_testkit.cassettes.document import RecordedLM
from dspex_testkit.cassettes.files import resolve_inside
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.interfaces import Taken
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.report import CassetteReport
from dspex_testkit.errors import CassetteError, CassetteWriteError, UsageError
from dspex_testkit.redaction import Secret, Secrets

logger = logging.getLogger(__name__)

NO_SESSION = "default"
"""The cassette of callers without a session."""


@dataclass(frozen=True, slots=True)
class DeckSettings:
    """Where cassettes lie, and what may be done with them."""

    folder: str
    """Names of cassettes are relative to it."""
    record: bool
    """Whether an LM may be asked; without it only mode `none` is possible."""
    mode: RecordMode = RecordMode.ONCE
    """The mode of cassettes that nobody opened by name."""
    staging: str | None = None
    """Where recordings wait that nobody ejects; None to write them into the folder at once."""


class CassetteDeck:
    """Opens, finds and ejects the cassettes of sessions; safe to use from threads.

    Args:
        settings: What it was told once.
    """

    def __init__(self, settings: DeckSettings) -> None:
        self.settings = settings
        self.folder = Path(settings.folder)
        self.mode = settings.mode if settings.record else RecordMode.NONE
        self._open: dict[str | None, OpenCassette] = {}
        self._named: set[str | None] = set()
        self._secrets = Secrets()
        self._parts = count(1)
        self._lock = threading.RLock()

    @property
    def records(self) -> bool:
        """Whether an LM may be asked."""
        return self.settings.record

    @property
    def shared(self) -> bool:
        """Whether other processes have their cassettes here too; they would go through a `RemoteDeck`."""
        return False

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Know what must be in no recording."""
        with self._lock:
            self._secrets.update(secrets)
            for cassette in self._open.values():
                cassette.options.redactor.known.update(self._secrets)

    def use(
        self,
        session_id: str | None,
        name: str,
        mode: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> CassetteReport:
        """Have a session play, or record, a named cassette.

        Args:
            session_id: The session; None for callers without one.
            name: The cassette's.
            mode: What to do; as the deck does by default if None.
            options: How to do it, as of `cassette_options`.

        Raises:
            CassetteError: It cannot be opened, or the session has one already.
            UsageError: The mode or an option is none, or needs an LM that may not be asked.
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
            cassette = OpenCassette(path, wanted, self._options(options or {}))
            if (unnamed := self._open.get(session_id)) is not None:
                unnamed.write()
                unnamed.discard()
            self._open[session_id] = cassette
            self._named.add(session_id)
        return cassette.report()

    def eject(self, session_id: str | None, *, passed: bool) -> CassetteReport:
        """End the use of a named cassette, and keep what was recorded if the test passed.

        Raises:
            CassetteError: There is none, or what was recorded cannot be kept.
            CassetteWriteError: It cannot be written now. The session goes on using it, so that it can be ejected again.
        """
        with self._lock:
            if session_id not in self._named:
                raise CassetteError("The session uses no cassette; use_cassette gives it one")
            cassette = self._open[session_id]
            try:
                if passed:
                    cassette.commit()
            except CassetteWriteError as error:
                raise type(error)(
                    f"{error.message}. What was recorded is kept: eject the cassette again once it can be written, or "
                    "as not passed to give it up",
                    details=error.details,
                ) from error
            except BaseException:
                self._take_out(session_id)
                raise
            self._take_out(session_id)
        return cassette.report()

    def current(self, session_id: str | None) -> OpenCassette:
        """The cassette of a session, opened under the session's own name where none was chosen.

        Raises:
            CassetteError: It cannot be opened.
        """
        with self._lock:
            if (cassette := self._open.get(session_id)) is None:
                cassette = self._open[session_id] = self._open_unnamed(session_id)
            return cassette

    def take(self, session_id: str | None, request: dict[str, Any]) -> Taken:
        """What the session's cassette has for a request.

        Raises:
            CassetteError: It cannot be opened, or has no such recording and may not ask for one.
        """
        taken = self.current(session_id).take(request)
        # The request is what was asked; it need not travel back.
        played = None if taken.interaction is None else replace(taken.interaction, request={})
        return replace(taken, interaction=played)

    def keep(self, session_id: str | None, interaction: Interaction, lm: RecordedLM, order: int) -> None:
        """Take in what came of asking an LM in a session.

        Raises:
            CassetteError: It cannot be kept.
        """
        cassette = self.current(session_id)
        cassette.introduce(lm)
        cassette.keep(interaction, order)

    def forgo(self, session_id: str | None, order: int, reason: str) -> None:
        """Nothing is kept of a call that was asked in a session, and why."""
        self.current(session_id).forgo(order, reason)

    def recorded_lm(self, session_id: str | None, model: str) -> RecordedLM | None:
        """What the session's cassette knows of the LM of this model.

        Raises:
            CassetteError: It cannot be opened.
        """
        return self.current(session_id).recorded_lm(model)

    def forget(self, session_id: str | None) -> None:
        """End the use of a session's cassette, if it has one; what was not kept is gone.

        A recording that nobody names, and that cannot be written now, stays for the session's next call.
        """
        with self._lock:
            self._let_go(session_id)

    def close(self) -> None:
        """Forget what was not ejected, except for what is written, or can still be."""
        with self._lock:
            for session_id in list(self._open):
                self._let_go(session_id)

    def _let_go(self, session_id: str | None) -> None:
        if (cassette := self._open.get(session_id)) is None:
            return
        try:
            cassette.write()
        except CassetteError as error:
            logger.error("%d recordings of %s wait to be written: %s", cassette.unwritten, cassette.path, error.message)
            if isinstance(error, CassetteWriteError):
                return
        self._take_out(session_id)

    def _take_out(self, session_id: str | None) -> None:
        self._named.discard(session_id)
        self._open.pop(session_id).discard()

    def _options(self, given: Mapping[str, Any]) -> CassetteOptions:
        options = cassette_options(**sent_options(given))
        options.redactor.known.update(self._secrets)
        return options

    def _open_unnamed(self, session_id: str | None) -> OpenCassette:
        name = re.sub(r"[^\w.-]+", "_", session_id or NO_SESSION).strip(".") or NO_SESSION
        path = resolve_inside(self.folder, f"{name}.yaml")
        options = replace(self._options({}), write_through=True)
        if self.settings.staging is not None and self.records:
            # A session may be forgotten and begun again, and several decks may have one of the same name.
            part = f"{path.stem}~{os.getpid()}-{id(self):x}-{next(self._parts):06}.yaml"
            options = replace(options, write_to=Path(self.settings.staging) / part)
        return OpenCassette(path, self.mode, options)
