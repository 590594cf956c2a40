"""`OpenCassette`: one cassette in use, by any number of threads, tasks and LMs."""

import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal, Self

from dspex_testkit.atomic_files import remove_drafts
from dspex_testkit.cassettes import drift as drifting
from dspex_testkit.cassettes.age import StaleCassetteWarning, parse_age, too_old
from dspex_testkit.cassettes.cleaning import Cleaner, Filter
from dspex_testkit.cassettes.document import Document, RecordedLM, read_document
from dspex_testkit.cassettes.files import RecorderLock, exists, refuse_read_only
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.interfaces import Taken
from dspex_testkit.cassettes.leaks import refuse_secrets
from dspex_testkit.cassettes.lm import CassetteLM
from dspex_testkit.cassettes.matching import MatchRules
from dspex_testkit.cassettes.misses import no_match, title
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.playback import Playback
from dspex_testkit.cassettes.report import CassetteReport
from dspex_testkit.cassettes.saving import save
from dspex_testkit.cassettes.unchanged import with_unchanged
from dspex_testkit.errors import CassetteError, CassetteFormatError, CassetteWriteError, NothingRecordedError
from dspex_testkit.redaction import Redactor


class IncompleteRecordingWarning(UserWarning):
    """Some of what an LM was asked is not in the recording."""


@dataclass(frozen=True)
class CassetteOptions:
    """How a cassette is used; the same for one and for a folder of them."""

    rules: MatchRules = field(default_factory=MatchRules)
    record_errors: bool = True
    """Keep failures of the provider too, so that a replay fails as the provider did."""
    max_age: timedelta | str | None = None
    on_stale: Literal["warn", "fail"] = "warn"
    comparator: drifting.Comparator = drifting.same_words
    fail_on: drifting.Severity = drifting.Severity.TEXT
    """The least drift that makes `commit` fail in mode `verify`."""
    redactor: Redactor = field(default_factory=Redactor)
    filter_request: Filter | None = None
    filter_response: Filter | None = None
    rerecord: str | None = None
    """What a miss advises to do; None for a text that fits everywhere."""
    realtime: bool = False
    """Replay streams at the pace at which they came."""
    write_to: Path | None = None
    """Where new recordings go, alone, while something else decides whether they are to be kept."""
    write_through: bool = False
    """Write after each recording, for whoever is never told of an end."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The clock."""


class OpenCassette:
    """Plays and records the LM calls of one file.

    It writes nothing before `commit`, so that a recording is only kept where what was recorded turned out well. Used
    with ``with``, it commits where the block succeeds and discards where it raises.

    Args:
        path: The file.
        mode: What to do.
        options: How to do it.

    Raises:
        CassetteNotFoundError: Replay was asked for and there is no file.
        CassetteFormatError: The file is no cassette.
        CassetteReadOnlyError: A recording could not be kept.
        CassetteBusyError: Another recorder has the file.
        StaleCassetteError: The recording is too old, and that was to be an error.
    """

    def __init__(self, path: Path, mode: RecordMode = RecordMode.NONE, options: CassetteOptions | None = None) -> None:
        self.path = path
        self.mode = mode
        self.options = options or CassetteOptions()
        self.existed = exists(path)
        self.name = path.stem
        # The redactor is shared: it learns further secrets as LMs come along.
        self._cleaner = Cleaner(self.options.redactor, self.options.filter_request, self.options.filter_response)
        self._lock = threading.Lock()
        self._recorder: RecorderLock | None = None
        if mode.may_write and not (mode is RecordMode.ONCE and self.existed):
            target = self.options.write_to or path
            refuse_read_only(target)
            self._recorder = RecorderLock(target)
            # Of recorders that were killed; else they would lie there until something is kept.
            remove_drafts(target.parent)
        try:
            self._open()
        except BaseException:
            self._release()
            raise

    def _open(self) -> None:
        needed = self.existed or self.mode in (RecordMode.NONE, RecordMode.VERIFY)
        self.document = Document() if self.mode is RecordMode.REWRITE or not needed else read_document(self.path)
        self._former = self._stored = self._read_former()
        self._playback = Playback(self._keys(), self.options.rules.exhausted)
        self._plays = 0
        self._orders = count()
        self._asked: dict[int, str] = {}
        """Calls that the LM has been asked and not answered yet, by their order: what they ask."""
        self._awaited: dict[int, int | None] = {}
        """In mode `verify`: with which recording the answer will be compared, by the order of the call."""
        self._recorded: dict[int, Interaction] = {}
        """What is to be kept, by the order of asking, which is not that of answering."""
        self._not_kept: list[str] = []
        self._unwanted = 0
        """How many of these nobody has asked for."""
        self._answered_anew: set[bytes] = set()
        self._written = 0
        self._lms: list[RecordedLM] = list(self.document.lms)
        self._misses: list[CassetteError] = []
        self._drifts: list[drifting.Drift] = []
        self._uncompared: list[str] = []
        """In mode `verify`: what the provider did not answer for want of a key or the like."""
        self.decoded: dict[int, Any] = {}
        """What an engine made of an interaction, by its `id`; so that it is made once."""
        self._closed = False
        self._committed = False
        self._stale: CassetteError | None = None
        if self.options.max_age is not None and self.mode in (RecordMode.NONE, RecordMode.ONCE):
            age = parse_age(self.options.max_age)
            self._stale = too_old(self.document.interactions, age, path=self.path, now=self.options.now())
            if self._stale is not None and self.options.on_stale == "fail":
                raise self._stale
            if self._stale is not None:
                warnings.warn(self._stale.message, StaleCassetteWarning, stacklevel=4)

    def _read_former(self) -> Document:
        """What the file held, for whatever is recorded again; nothing where it is damaged, and is to be replaced."""
        if self.mode is not RecordMode.REWRITE or not self.existed:
            return self.document
        with suppress(CassetteError):
            return read_document(self.path)
        return Document()

    @property
    def realtime(self) -> bool:
        """Whether streams are replayed at the pace at which they came."""
        return self.options.realtime

    def now(self) -> datetime:
        """The clock."""
        return self.options.now()

    @property
    def records(self) -> bool:
        """Whether an unknown request is asked of the LM and kept."""
        if self.mode is RecordMode.ONCE:
            return not self.existed
        return self.mode.may_write

    @property
    def wants_live_lm(self) -> bool:
        """Whether an LM is needed behind this cassette."""
        return self.records or self.mode is RecordMode.VERIFY

    def lm_for(self, lm: Any = None, *, model: str | None = None) -> CassetteLM:
        """A `dspy.LM` that answers from this cassette, and asks the given LM where that is to be recorded.

        Args:
            lm: The LM that is recorded; None to replay only.
            model: The name under which its calls are kept, where another model answers than was asked for.
        """
        return CassetteLM(self, lm, model=model)

    @property
    def models(self) -> list[str]:
        """The names of the LMs of which it has recordings."""
        return sorted({interaction.model for interaction in self.document.interactions})

    def learn(self, value: object, name: str) -> None:
        """Know a secret that must be in no recording."""
        self.options.redactor.known.add(value, name)

    def replay_options(self) -> dict[str, Any]:
        """The options with which another process has to open it to replay the same, as JSON values.

        Secrets and what a program has to do are not among them.
        """
        return self.options.rules.to_options() | ({"realtime": True} if self.realtime else {})

    def take(self, request: dict[str, Any]) -> Taken:
        """The recording that answers a request; none where the LM is to be asked.

        Raises:
            NoMatchingInteractionError: Neither is possible.
        """
        asks = self.mode.asks_always or (self.mode is RecordMode.ONCE and not self.existed)
        found = None if asks else self.play(request)
        if found is not None:
            return Taken(self.path, self.mode, self.realtime, found)
        if not asks and not self.records:
            raise self.miss(request)
        with self._lock:
            order = next(self._orders)
            self._asked[order] = title(self._cleaner.asked(request))
            if self.mode is RecordMode.VERIFY:
                self._awaited[order] = self._take(request)
        return Taken(self.path, self.mode, self.realtime, None, order)

    def play(self, request: dict[str, Any]) -> Interaction | None:
        """The next recording that answers a request; None where there is none. Quick, however many there are."""
        with self._lock:
            position = self._take(request)
            if position is None:
                return None
            self._plays += 1
            return self.document.interactions[position]

    def _take(self, request: dict[str, Any]) -> int | None:
        """The next recording of this request, by today's rules or by those of the first format."""
        asked, old = self._cleaner.asked(request), self._cleaner.asked_in_format_1(request)
        key = self.options.rules.key(asked)
        # Most requests hold nothing that either redacts, and are compared once.
        return self._playback.take(key, key if old == asked else self.options.rules.key(old))

    def _keys(self) -> list[bytes]:
        keys = []
        for position, interaction in enumerate(self.document.interactions):
            try:
                keys.append(self.options.rules.key(interaction.request))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise CassetteFormatError(
                    f"{self.path}: interactions[{position}].request cannot be read: {error!r}; "
                    "bring it back from version control, or record it again",
                    details={"path": str(self.path)},
                ) from error
        return keys

    def miss(self, request: dict[str, Any]) -> CassetteError:
        """Note that nothing answers a request; returns the error, which names the nearest recordings.

        The search for them takes up to a second.
        """
        asked = self._cleaner.asked(request)
        error = self._no_match(asked)
        with self._lock:
            self._misses.append(error)
        return error

    def _no_match(self, asked: dict[str, Any]) -> CassetteError:
        return no_match(
            asked,
            self.document.interactions,
            self.options.rules,
            path=self.path,
            times_played=self._playback.recordings_of(self.options.rules.key(asked)),
            rerecord=self.options.rerecord or "open it with record_mode='new_episodes' (pytest: --lm-record-mode)",
        )

    def keep(self, interaction: Interaction, order: int) -> None:
        """Take in what came of asking the LM: to be recorded, or in mode `verify` to be compared."""
        try:
            kept = self._cleaner.kept(interaction)
            if kept is not None:
                self._refuse_secrets_of(kept)
        except BaseException as error:
            self.forgo(order, str(error).splitlines()[0] if str(error) else type(error).__name__)
            raise
        if kept is None:
            self.forgo(order, "a filter wants nothing of it", wanted=True)
            return
        if self.mode is RecordMode.VERIFY:
            self._compare(order, kept)
            return
        if kept.error is not None and not self.options.record_errors:
            self.forgo(order, f"it failed ({kept.error.get('code')}), and record_errors is off", wanted=True)
            return
        if self.document.format == 1 and (kept.ended is not None or (kept.error is not None and kept.chunks)):
            if kept.error is None:
                self.forgo(order, f"it was {kept.ended}, which only files of format 2 can say: cassettes upgrade")
                return
            kept = replace(kept, chunks=None)
        key = self.options.rules.key(kept.request)
        old = self.options.rules.key(self._cleaner.asked_in_format_1(interaction.request))
        with self._lock:
            if self._closed or self._asked.pop(order, None) is None:
                # Its end has come too late: the recording was closed without it, and has said so.
                return
            self._recorded[order] = kept
            self._answered_anew |= {key, old}
            if self.options.write_through:
                self._write_through()

    def forgo(self, order: int, reason: str, *, wanted: bool = False) -> None:
        """Nothing is kept of a call that was asked.

        Args:
            order: Which one.
            reason: Why; for people.
            wanted: An option asks for that.
        """
        with self._lock:
            what = self._asked.pop(order, None)
            self._awaited.pop(order, None)
            if what is not None and self.mode is not RecordMode.VERIFY:
                self._not_kept.append(f"{what}: {reason}")
                self._unwanted += not wanted

    def introduce(self, lm: RecordedLM) -> None:
        """Remember what an LM that is recorded can do."""
        with self._lock:
            if lm not in self._lms:
                self._lms = [*(known for known in self._lms if known.model != lm.model), lm]

    def recorded_lm(self, model: str | None = None) -> RecordedLM | None:
        """What is known of the LM of this model; without a name, of the only one."""
        if model is None:
            return self._lms[0] if len(self._lms) == 1 else None
        return next((lm for lm in self._lms if lm.model == model), None)

    def report(self) -> CassetteReport:
        """What came of it so far."""
        with self._lock:
            return CassetteReport(
                path=self.path,
                mode=self.mode,
                interactions=len(self.document.interactions),
                played=self._plays,
                recorded=len(self._recorded),
                unplayed=self._playback.unplayed,
                misses=tuple(self._misses),
                drifts=tuple(self._drifts),
                stale=self._stale,
                committed=self._committed,
                not_kept=tuple(self._not_kept),
            )

    def commit(self) -> CassetteReport:
        """Close it and keep what was recorded. Does nothing the second time.

        Where it cannot be written it stays open, with all that was recorded, to be committed again or discarded.

        Raises:
            CassetteWriteError: The disk is full, or the file may not be written.
            NoMatchingInteractionError: A miss happened that the program swallowed.
            NothingRecordedError: A recording was asked for, and no LM was called.
            CassetteDriftError: In mode `verify`, the provider answers otherwise.
            CassetteError: In mode `verify`, it did not say what it would answer, for want of a key or the like.
            SecretFoundError: The recording would have held a secret.
        """
        if self._closed:
            return self.report()
        try:
            self._commit()
        except CassetteWriteError:
            raise
        except BaseException:
            self.discard()
            raise
        self.discard()
        return self.report()

    def discard(self) -> None:
        """Close it and forget what was recorded."""
        self._closed = True
        self._release()

    @property
    def unwritten(self) -> int:
        """How many recordings are to be written as they are made, and are not, because they cannot be."""
        return len(self._recorded) - self._written if self.options.write_through else 0

    def write(self) -> None:
        """Write what is unwritten.

        Raises:
            CassetteWriteError: It still cannot be written.
        """
        with self._lock:
            if self.unwritten:
                self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self.commit()
        finally:
            self.discard()

    def _commit(self) -> None:
        for order in list(self._asked):
            self.forgo(order, "it was still being answered when the recording ended")
        if self._misses:
            raise self._misses[0]
        if self.mode is RecordMode.VERIFY:
            drifting.refuse_drift(
                self._drifts,
                least=self.options.fail_on,
                path=self.path,
                asked=bool(self._playback.played),
                uncompared=self._uncompared,
            )
            return
        if not self.records:
            return
        if not self._recorded and (self.mode.asks_always or not self.existed):
            lost = "".join(f"\n  not kept: {line}" for line in self._not_kept)
            if lost:
                raise NothingRecordedError(
                    f"{self.path} was to be recorded, and nothing could be kept:{lost}",
                    details={"path": str(self.path)},
                )
            raise NothingRecordedError(
                f"{self.path} was to be recorded, and no LM was called through it; use the LM that the cassette gives, "
                "or do not ask for a recording",
                details={"path": str(self.path)},
            )
        if self._recorded:
            self._write()
        if self._unwanted:
            lines = "".join(f"\n  {line}" for line in self._not_kept)
            warnings.warn(
                f"{self.path}: {len(self._recorded)} calls were recorded, and not kept were:{lines}\n"
                "  A replay will miss them; end the recording when all calls have ended",
                IncompleteRecordingWarning,
                stacklevel=4,
            )

    def _write_through(self) -> None:
        try:
            self._write()
        except CassetteWriteError as error:
            raise type(error)(
                f"{error.message}. What was recorded is kept, and written with the next recording of this session, or "
                "when the session is cleaned up",
                details=error.details,
            ) from error

    def _write(self) -> None:
        kept = self._kept()
        used = {interaction.model for interaction in kept}
        document = Document(kept, tuple(lm for lm in self._lms if lm.model in used), self.document.format)
        if document != self._stored or self.options.write_to is not None:
            save(self.options.write_to or self.path, document, secrets=self.options.redactor.known)
            self._stored = document
        self._committed = True
        self._written = len(self._recorded)

    def _kept(self) -> tuple[Interaction, ...]:
        recorded = tuple(self._recorded[order] for order in sorted(self._recorded))
        if self.options.write_to is not None:
            return recorded
        max_age = self.options.max_age
        recorded = with_unchanged(
            (each.to_the_second() for each in recorded),
            self._former.interactions if self.mode.asks_always else (),
            max_age=None if max_age is None else parse_age(max_age),
            now=self.options.now(),
        )
        if self.mode is not RecordMode.ALL:
            return (*self.document.interactions, *recorded)
        old = [
            interaction
            for interaction in self.document.interactions
            if self.options.rules.key(interaction.request) not in self._answered_anew
        ]
        return (*old, *recorded)

    def _refuse_secrets_of(self, interaction: Interaction) -> None:
        # Now, and not only when the file is written: whoever recorded should stop paying at once.
        record = interaction.to_record()
        refuse_secrets({"interactions": [record]}, "", self.options.redactor.known, path=self.path)

    def _compare(self, order: int, live: Interaction) -> None:
        with self._lock:
            if self._asked.pop(order, None) is None:
                return
            position = self._awaited.pop(order)
            recorded = None if position is None else self.document.interactions[position]
            if (why := drifting.unanswered(recorded, live)) is not None:
                self._uncompared.append(f"{title(live.request)}: {why}")
                return
            if recorded is None or position is None:
                self._drifts.append(drifting.unrecorded(live.text, self._no_match(live.request)))
                return
            found = drifting.compare(recorded, live, position=position, comparator=self.options.comparator)
            if found is not None:
                self._drifts.append(found)

    def _release(self) -> None:
        if self._recorder is not None:
            self._recorder.release()
            self._recorder = None
