"""The pool's cassettes as a worker sees them: open beside the store, so that a pool has one recorder."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from dspex_testkit.bridge.state.remote.link import Link
from dspex_testkit.bridge.state.remote.memory import Memory
from dspex_testkit.bridge.state.remote.remote_object import RemoteObject
from dspex_testkit.bridge.state.remote.values import pack
from dspex_testkit.cassettes.document import RecordedLM
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.interfaces import Deck, Taken
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.report import CassetteReport
from dspex_testkit.cassettes.session_cassettes import DeckSettings
from dspex_testkit.redaction import Secret


class PoolDeck(Protocol):
    """What a deck beside the store does for a cassette that a worker plays or records."""

    def take(self, session_id: str | None, request: dict[str, Any]) -> Taken:
        """What the session's cassette has for a request."""
        ...

    def keep(self, session_id: str | None, interaction: Interaction, lm: RecordedLM, order: int) -> None:
        """Take in what came of asking an LM in a session."""
        ...

    def forgo(self, session_id: str | None, order: int, reason: str) -> None:
        """Nothing is kept of a call that was asked in a session, and why."""
        ...

    def recorded_lm(self, session_id: str | None, model: str) -> RecordedLM | None:
        """What the session's cassette knows of the LM of this model."""
        ...


class RemoteDeck(RemoteObject):
    """The pool's cassettes.

    Args:
        link: Leads to the store.
        memory: Of this worker.
        settings: Of the deck.
    """

    def __init__(self, link: Link, memory: Memory, settings: DeckSettings) -> None:
        super().__init__(link, memory, "deck", [pack(settings)], settings)
        self._settings = settings

    @property
    def records(self) -> bool:
        """Whether an LM may be asked."""
        return self._settings.record

    @property
    def shared(self) -> bool:
        """The other workers of the pool have their cassettes here too."""
        return True

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Know what must be in no recording."""
        self._call(Deck.learn, secrets)

    def use(
        self, session_id: str | None, name: str, mode: str | None = None, options: Mapping[str, Any] | None = None
    ) -> CassetteReport:
        """Have a session play, or record, a named cassette."""
        return self._call(Deck.use, session_id, name, mode, options)

    def eject(self, session_id: str | None, *, passed: bool) -> CassetteReport:
        """End the use of a named cassette, and keep what was recorded if the test passed."""
        return self._call(Deck.eject, session_id, passed=passed)

    def current(self, session_id: str | None) -> "SessionCassette":
        """The cassette of a session, for one call."""
        return SessionCassette(self, session_id)

    def take(self, session_id: str | None, request: dict[str, Any]) -> Taken:
        """What the session's cassette has for a request."""
        return self._call(PoolDeck.take, session_id, request)

    def keep(self, session_id: str | None, interaction: Interaction, lm: RecordedLM, order: int) -> None:
        """Take in what came of asking an LM in a session."""
        self._call(PoolDeck.keep, session_id, interaction, lm, order)

    def forgo(self, session_id: str | None, order: int, reason: str) -> None:
        """Nothing is kept of a call that was asked in a session, and why."""
        self._call(PoolDeck.forgo, session_id, order, reason)

    def recorded_lm(self, session_id: str | None, model: str) -> RecordedLM | None:
        """What the session's cassette knows of the LM of this model."""
        return self._call(PoolDeck.recorded_lm, session_id, model)


class SessionCassette:
    """A `CassetteInUse` that is open beside the store, for one call.

    Args:
        deck: The pool's cassettes.
        session_id: Whose cassette it is.
    """

    def __init__(self, deck: RemoteDeck, session_id: str | None) -> None:
        self.decoded: dict[int, Any] = {}
        self._deck = deck
        self._session_id = session_id
        self._taken: Taken | None = None
        self._lm: RecordedLM | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self._known.path

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return self.path.stem

    @property
    def mode(self) -> RecordMode:
        """What is done with it."""
        return self._known.mode

    @property
    def realtime(self) -> bool:
        """Whether streams are replayed at the pace at which they came."""
        return self._known.realtime

    def now(self) -> datetime:
        """The clock."""
        return datetime.now(UTC)

    def take(self, request: dict[str, Any]) -> Taken:
        """The recording that answers a request; none where the LM is to be asked."""
        self._taken = taken = self._deck.take(self._session_id, request)
        return taken

    def introduce(self, lm: RecordedLM) -> None:
        """Remember what the LM can do that is recorded; it travels with what is kept."""
        self._lm = lm

    def keep(self, interaction: Interaction, order: int) -> None:
        """Take in what came of asking the LM."""
        assert self._lm is not None, "an LM is introduced before its answers are kept"
        self._deck.keep(self._session_id, interaction, self._lm, order)

    def forgo(self, order: int, reason: str) -> None:
        """Nothing is kept of a call that was asked, and why."""
        self._deck.forgo(self._session_id, order, reason)

    def recorded_lm(self, model: str | None = None) -> RecordedLM | None:
        """What is known of the LM of this model."""
        return None if model is None else self._deck.recorded_lm(self._session_id, model)

    @property
    def _known(self) -> Taken:
        assert self._taken is not None, "a cassette is known once something was asked of it"
        return self._taken
