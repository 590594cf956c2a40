"""What a bridge and its LMs need of cassettes, whichever process they are open in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from dspex_testkit.cassettes.document import RecordedLM
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.report import CassetteReport
from dspex_testkit.redaction import Secret


@dataclass(frozen=True, slots=True)
class Taken:
    """What a cassette has for one request, and the settings of the cassette that its use depends on."""

    path: Path
    mode: RecordMode
    realtime: bool
    """Streams are replayed at the pace at which they came."""
    interaction: Interaction | None
    """The recording that answers; None where the LM is to be asked."""
    order: int | None = None
    """Where the LM is to be asked: the place of its answer among those that are kept, in the order of asking."""


class CassetteInUse(Protocol):
    """A cassette, for the length of one call."""

    decoded: dict[int, Any]
    """What an engine made of an interaction, by its `id`; so that it is made once."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def mode(self) -> RecordMode:
        """What is done with it."""
        ...

    @property
    def name(self) -> str:
        """The file's name, for people."""
        ...

    @property
    def realtime(self) -> bool:
        """Whether streams are replayed at the pace at which they came."""
        ...

    def now(self) -> datetime:
        """The clock."""
        ...

    def take(self, request: dict[str, Any]) -> Taken:
        """The recording that answers a request; none where the LM is to be asked.

        Raises:
            CassetteError: Neither is possible.
        """
        ...

    def keep(self, interaction: Interaction, order: int) -> None:
        """Take in what came of asking the LM.

        Raises:
            CassetteError: It cannot be kept.
        """
        ...

    def forgo(self, order: int, reason: str) -> None:
        """Nothing is kept of a call that was asked, and why."""
        ...

    def introduce(self, lm: RecordedLM) -> None:
        """Remember what an LM that is recorded can do."""
        ...

    def recorded_lm(self, model: str | None = None) -> RecordedLM | None:
        """What is known of the LM of this model."""
        ...


class SavableCassette(CassetteInUse, Protocol):
    """A cassette that is open in this process, and that another process can open too."""

    @property
    def wants_live_lm(self) -> bool:
        """Whether an LM is needed behind it."""
        ...

    @property
    def models(self) -> list[str]:
        """The names of the LMs of which it has recordings."""
        ...

    def learn(self, value: object, name: str) -> None:
        """Know a secret that must be in no recording."""
        ...

    def replay_options(self) -> dict[str, Any]:
        """The options with which another process has to open it to replay the same, as JSON values."""
        ...


class Deck(Protocol):
    """The cassettes of the sessions of a bridge, or of a pool's bridges."""

    @property
    def records(self) -> bool:
        """Whether an LM may be asked."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other processes have their cassettes here too."""
        ...

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Know what must be in no recording."""
        ...

    def use(
        self, session_id: str | None, name: str, mode: str | None = None, options: Mapping[str, Any] | None = None
    ) -> CassetteReport:
        """Have a session play, or record, a named cassette.

        Raises:
            CassetteError: It cannot be opened, or the session has one already.
            UsageError: The mode or an option is none, or needs an LM that may not be asked.
        """
        ...

    def eject(self, session_id: str | None, *, passed: bool) -> CassetteReport:
        """End the use of a named cassette, and keep what was recorded if the test passed.

        Raises:
            CassetteError: There is none, or what was recorded cannot be kept.
        """
        ...

    def current(self, session_id: str | None) -> CassetteInUse:
        """The cassette of a session, for one call.

        Raises:
            CassetteError: It cannot be opened.
        """
        ...
