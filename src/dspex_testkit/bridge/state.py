"""`StateStore`: all state that the workers of one pool may share.

A bridge keeps nothing of a client's anywhere else. Compiled modules and LM objects are caches, built anew from what
is here; so a store that lives in another process needs to carry only these values.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dspex_testkit.bridge.records import KeptProgram, ProgramRecord, SessionState
from dspex_testkit.calls import ANY_SESSION, Accounts, Counters, Journal, LocalCounters
from dspex_testkit.calls.journal import _AnySession
from dspex_testkit.lm.naming import Definition
from dspex_testkit.lm.resolution import Assignment

if TYPE_CHECKING:
    from dspex_testkit.cassettes.deck import CassetteDeck, DeckSettings
    from dspex_testkit.cassettes.in_use import Deck

SessionFilter = str | _AnySession | None
DataOperation = Literal["set", "merge", "delete", "clear"]

_MAX_TOMBSTONES = 10_000
_MAX_COUNTERS = 4096


class StateStore(Protocol):
    """Programs, LM scopes, sessions, counters and the journal of a bridge or of a pool's bridges."""

    journal: Journal
    accounts: Accounts

    @property
    def epoch(self) -> int:
        """How often everything was forgotten; what a process has built from the state is then out of date."""
        ...

    def put_program(self, record: ProgramRecord) -> None:
        """Keep a program, in place of one of the same id and session."""
        ...

    def get_program(self, program_id: str, session_id: str | None) -> ProgramRecord | None:
        """The session's program of this id, else the one that was created without a session."""
        ...

    def programs(self, session: SessionFilter = ANY_SESSION) -> list[ProgramRecord]:
        """Programs in order of creation."""
        ...

    def delete_program(self, record: ProgramRecord) -> None:
        """Forget a program and remember that it was deleted."""
        ...

    def was_deleted(self, program_id: str, session_id: str | None) -> bool:
        """Whether the id was deleted and not created again."""
        ...

    def count_execution(self, program_id: str, session_id: str | None) -> None:
        """Note that the program that was kept for a session (or without one) ran."""
        ...

    def settle(self) -> None:
        """Let nothing that was done so far reach the state later than what any bridge is asked from now on."""
        ...

    def set_lm(self, session_id: str | None, assignment: Assignment | None) -> Assignment | None:
        """Give a session (or, without one, the whole bridge) its LM, or take it; returns what was there."""
        ...

    def get_lm(self, session_id: str | None) -> Assignment | None:
        """The LM of a session, or of the whole bridge."""
        ...

    def define_lm(self, definition: Definition) -> Definition | None:
        """Keep an LM under a name; returns what it replaced."""
        ...

    def undefine_lm(self, name: str) -> Definition | None:
        """Forget the LM of a name; returns what it was, or None where there was none."""
        ...

    def find_lm(self, name: str) -> Definition | None:
        """The LM of a name."""
        ...

    def named_lms(self) -> list[Definition]:
        """The LMs that have names, in order of definition."""
        ...

    def assignments(self) -> list[tuple[str, Assignment]]:
        """Every LM that a scope of a client's holds, each with a description of the holder for a person."""
        ...

    def has_budgets(self) -> bool:
        """Whether anybody has a limit."""
        ...

    def session_data(self, session_id: str) -> dict[str, Any]:
        """A copy of the session's data."""
        ...

    def update_session_data(
        self, session_id: str, operation: DataOperation, key: str | None = None, value: Any = None
    ) -> dict[str, Any]:
        """Change the session's data, atomically, and return a copy.

        Args:
            session_id: The session; begun if it is new.
            operation: ``set`` or ``delete`` a key, ``merge`` a map, or ``clear`` everything.
            key: What `set` and `delete` change.
            value: What `set` stores, or the map that `merge` lays over the data.
        """
        ...

    def counters(self, lm_id: str) -> Counters:
        """The counters of one assignment."""
        ...

    def deck(self, settings: "DeckSettings") -> "Deck":
        """The cassettes of everybody who was told the same."""
        ...

    def drop_session(self, session_id: str) -> int:
        """Forget a session: its programs (their number is returned), LM, data, calls and the use of its cassette."""
        ...

    def drop_programs(self, session: SessionFilter = ANY_SESSION) -> int:
        """Forget programs and return their number."""
        ...

    def reset(self) -> int:
        """Forget everything; returns the number of programs."""
        ...

    def close(self) -> None:
        """Let go of cassettes, because nobody is left who could eject them."""
        ...


class InProcessStore:
    """A `StateStore` in this process, safe to use from its threads.

    Args:
        session_ttl: Seconds after its last use when a session is forgotten.
        journal_size: LM calls that the journal keeps.
        clock: Seconds, monotonic; injected by tests.
    """

    def __init__(
        self,
        *,
        session_ttl: float = 3600.0,
        journal_size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.journal = Journal(max_calls=journal_size)
        self.accounts = Accounts(self.journal)
        self.epoch = 0
        self._ttl = session_ttl
        self._clock = clock
        self._lock = threading.RLock()
        self._shared = SessionState()
        # Ordered by last use, so that the expired ones stand at the front.
        self._sessions: OrderedDict[str, SessionState] = OrderedDict()
        self._deleted: OrderedDict[tuple[str | None, str], None] = OrderedDict()
        self._counters: OrderedDict[str, LocalCounters] = OrderedDict()
        self._named: dict[str, Definition] = {}
        self._decks: dict[DeckSettings, CassetteDeck] = {}

    def put_program(self, record: ProgramRecord) -> None:
        """Keep a program, in place of one of the same id and session."""
        with self._lock:
            programs = self._open(record.session_id).programs
            self._forget_counters(programs.pop(record.program_id, None))
            programs[record.program_id] = KeptProgram(record)
            self._deleted.pop(record.key, None)

    def get_program(self, program_id: str, session_id: str | None) -> ProgramRecord | None:
        """The session's program of this id, else the one that was created without a session."""
        with self._lock:
            session = self._find(session_id)
            own = session.programs.get(program_id) if session else None
            kept = own or self._shared.programs.get(program_id)
            return kept.record if kept else None

    def programs(self, session: SessionFilter = ANY_SESSION) -> list[ProgramRecord]:
        """Programs in order of creation."""
        with self._lock:
            self._expire()
            records = [kept.counted() for state in self._states(session) for kept in state.programs.values()]
        return sorted(records, key=lambda record: record.created_at)

    def delete_program(self, record: ProgramRecord) -> None:
        """Forget a program and remember that it was deleted."""
        with self._lock:
            if (session := self._find(record.session_id)) is not None:
                self._forget_counters(session.programs.pop(record.program_id, None))
            self._deleted[record.key] = None
            while len(self._deleted) > _MAX_TOMBSTONES:
                self._deleted.popitem(last=False)

    def was_deleted(self, program_id: str, session_id: str | None) -> bool:
        """Whether the id was deleted and not created again."""
        with self._lock:
            return (session_id, program_id) in self._deleted

    def count_execution(self, program_id: str, session_id: str | None) -> None:
        """Note that the program that was kept for a session (or without one) ran."""
        with self._lock:
            session = self._find(session_id)
            if session is not None and (kept := session.programs.get(program_id)) is not None:
                kept.count(time.time())

    def settle(self) -> None:
        """Nothing is ever late in one process."""

    def set_lm(self, session_id: str | None, assignment: Assignment | None) -> Assignment | None:
        """Give a session (or, without one, the whole bridge) its LM, or take it; returns what was there."""
        with self._lock:
            session = self._open(session_id)
            replaced, session.lm = session.lm, assignment
            if replaced is not None:
                self._counters.pop(replaced.lm_id, None)
            return replaced

    def get_lm(self, session_id: str | None) -> Assignment | None:
        """The LM of a session, or of the whole bridge."""
        with self._lock:
            session = self._find(session_id)
            return session.lm if session else None

    def define_lm(self, definition: Definition) -> Definition | None:
        """Keep an LM under a name; returns what it replaced."""
        with self._lock:
            replaced = self._named.pop(definition.name, None)
            self._named[definition.name] = definition
            if replaced is not None:
                self._counters.pop(replaced.lm_id, None)
            return replaced

    def undefine_lm(self, name: str) -> Definition | None:
        """Forget the LM of a name; returns what it was, or None where there was none."""
        with self._lock:
            gone = self._named.pop(name, None)
            if gone is not None:
                self._counters.pop(gone.lm_id, None)
            return gone

    def find_lm(self, name: str) -> Definition | None:
        """The LM of a name."""
        return self._named.get(name)

    def named_lms(self) -> list[Definition]:
        """The LMs that have names, in order of definition."""
        with self._lock:
            return list(self._named.values())

    def assignments(self) -> list[tuple[str, Assignment]]:
        """Every LM that a scope of a client's holds, each with a description of the holder for a person."""
        with self._lock:
            self._expire()
            sessions = [("the global scope", self._shared)]
            sessions += [(f"session {session_id!r}", state) for session_id, state in self._sessions.items()]
            held = [(holder, state.lm) for holder, state in sessions]
            held += [
                (f"program {kept.record.program_id!r}", kept.record.lm)
                for _, state in sessions
                for kept in state.programs.values()
            ]
        return [(holder, lm) for holder, lm in held if lm is not None]

    def has_budgets(self) -> bool:
        """Whether anybody has a limit."""
        return self.accounts.has_budgets()

    def session_data(self, session_id: str) -> dict[str, Any]:
        """A copy of the session's data."""
        with self._lock:
            session = self._find(session_id)
            return dict(session.data) if session else {}

    def update_session_data(
        self, session_id: str, operation: DataOperation, key: str | None = None, value: Any = None
    ) -> dict[str, Any]:
        """Change the session's data, atomically, and return a copy."""
        with self._lock:
            data = self._open(session_id).data
            match operation:
                case "set":
                    data[str(key)] = value
                case "delete":
                    data.pop(str(key), None)
                case "merge":
                    data.update(value)
                case "clear":
                    data.clear()
            return dict(data)

    def counters(self, lm_id: str) -> LocalCounters:
        """The counters of one assignment."""
        with self._lock:
            found = self._counters.get(lm_id)
            if found is None:
                found = self._counters[lm_id] = LocalCounters()
                while len(self._counters) > _MAX_COUNTERS:
                    self._counters.popitem(last=False)
            else:
                self._counters.move_to_end(lm_id)
            return found

    def deck(self, settings: "DeckSettings") -> "CassetteDeck":
        """The cassettes of everybody who was told the same."""
        from dspex_testkit.cassettes.deck import CassetteDeck

        with self._lock:
            if (deck := self._decks.get(settings)) is None:
                deck = self._decks[settings] = CassetteDeck(settings)
            return deck

    def drop_session(self, session_id: str) -> int:
        """Forget a session: its programs (their number is returned), LM, data, calls and the use of its cassette."""
        with self._lock:
            self.journal.clear(session_id=session_id)
            return self._drop(session_id)

    def drop_programs(self, session: SessionFilter = ANY_SESSION) -> int:
        """Forget programs and return their number."""
        with self._lock:
            return sum(self._drop_programs(state) for state in self._states(session))

    def reset(self) -> int:
        """Forget everything; returns the number of programs."""
        with self._lock:
            self.epoch += 1
            programs = self.drop_programs()
            self._shared = SessionState()
            self._sessions.clear()
            self._deleted.clear()
            self._counters.clear()
            self._named.clear()
            self.journal.clear()
            self.accounts.clear()
            self.close()
            return programs

    def close(self) -> None:
        """Let go of cassettes, because nobody is left who could eject them."""
        for deck in self._decks.values():
            deck.close()

    def _states(self, session: SessionFilter) -> list[SessionState]:
        if isinstance(session, _AnySession):
            return [self._shared, *self._sessions.values()]
        found = self._find(session)
        return [found] if found else []

    def _find(self, session_id: str | None) -> SessionState | None:
        """The session if there is one, marked as used."""
        if session_id is None:
            return self._shared
        self._expire()
        if (session := self._sessions.get(session_id)) is not None:
            session.last_used = self._clock()
            self._sessions.move_to_end(session_id)
        return session

    def _open(self, session_id: str | None) -> SessionState:
        """The session, begun if it is new. Only what leaves a trace begins one: DSPex makes up throw-away names."""
        if (session := self._find(session_id)) is not None:
            return session
        assert session_id is not None
        session = self._sessions[session_id] = SessionState(last_used=self._clock())
        return session

    def _expire(self) -> None:
        while self._sessions:
            session_id, oldest = next(iter(self._sessions.items()))
            if self._clock() - oldest.last_used < self._ttl:
                return
            # Its calls stay: the journal is bounded anyway, and searching it for every session would not be.
            self._drop(session_id)

    def _drop(self, session_id: str) -> int:
        session = self._sessions.pop(session_id, None)
        self.accounts.forget_session(session_id)
        for deck in self._decks.values():
            deck.forget(session_id)
        if session is None:
            return 0
        if session.lm is not None:
            self._counters.pop(session.lm.lm_id, None)
        return self._drop_programs(session)

    def _drop_programs(self, session: SessionState) -> int:
        dropped, session.programs = session.programs, {}
        for kept in dropped.values():
            self._forget_counters(kept)
        return len(dropped)

    def _forget_counters(self, gone: KeptProgram | None) -> None:
        if gone is not None and gone.record.lm is not None:
            self._counters.pop(gone.record.lm.lm_id, None)
