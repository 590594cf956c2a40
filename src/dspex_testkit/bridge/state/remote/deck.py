"""The pool's cassettes as a worker sees them: open beside the store, so that a pool has one recorder."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.state.remote.link import Link, RemoteObject
from dspex_testkit.bridge.state.remote.memory import Memory
from dspex_testkit.bridge.state.remote.values import pack

if TYPE_CHECKING:
    from dspex_testkit.cassettes.document import RecordedLM
    from dspex_testkit.cassettes.interaction import Interaction
    from dspex_testkit.cassettes.interfaces import Taken
    from dspex_testkit.cassettes.modes import RecordMode
    from dspex_testkit.cassettes.session_cassettes import DeckSettings


class RemoteDeck(RemoteObject):
    """The pool's cassettes.

    Args:
        link: Leads to the store.
        settings: Of the deck.
        memory: Of this worker.
    """

    def __init__(self, link: Link, settings: "DeckSettings", memory: Memory) -> None:
        super().__init__(link, [["deck", pack(settings)]])
        self._settings = settings
        self._memory = memory

    @property
    def records(self) -> bool:
        """Whether an LM may be asked."""
        return self._settings.record

    @property
    def shared(self) -> bool:
        """The other workers of the pool have their cassettes here too."""
        return True

    def current(self, session_id: str | None) -> "SessionCassette":
        """The cassette of a session, for one call."""
        return SessionCassette(self, session_id)

    def recorded_lm(self, session_id: str | None, model: str) -> "RecordedLM | None":
        """What the session's cassette knows of the LM of this model."""
        key = ("recorded_lm", self._settings, session_id, model)
        found: RecordedLM | None = self._memory.recall(
            key, lambda: self._link.ask(self._path, "recorded_lm", (session_id, model), {})
        )
        return found


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
    def mode(self) -> "RecordMode":
        """What is done with it."""
        return self._known.mode

    @property
    def realtime(self) -> bool:
        """Whether streams are replayed at the pace at which they came."""
        return self._known.realtime

    def now(self) -> datetime:
        """The clock."""
        return datetime.now(UTC)

    def find(self, request: dict[str, Any]) -> "Interaction | None":
        """The recording that answers a request; None where the LM is to be asked."""
        self._taken = taken = self._deck.take(self._session_id, request)
        found: Interaction | None = taken.interaction
        return found

    def introduce(self, lm: "RecordedLM") -> None:
        """Remember what the LM can do that is recorded; it travels with what is kept."""
        self._lm = lm

    def keep(self, interaction: "Interaction") -> None:
        """Take in what the LM answered."""
        self._deck.keep(self._session_id, interaction, self._lm)

    def recorded_lm(self, model: str | None = None) -> "RecordedLM | None":
        """What is known of the LM of this model."""
        return None if model is None else self._deck.recorded_lm(self._session_id, model)

    @property
    def _known(self) -> "Taken":
        assert self._taken is not None, "a cassette is known once something was asked of it"
        return self._taken
