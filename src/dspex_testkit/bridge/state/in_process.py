"""`InProcessStore`: the state of one bridge, or, in the host, of all the bridges of a pool."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.state.records import KeptProgram, ProgramRecord, SessionState
from dspex_testkit.bridge.state.sessions import Sessions
from dspex_testkit.bridge.state.store import DataOperation, SessionFilter
from dspex_testkit.calls import ANY_SESSION, Accounts, CountersByLM, Journal, LocalCounters
from dspex_testkit.lm.config.naming import Definition
from dspex_testkit.lm.resolution import Assignment
from dspex_testkit.setting_table import DEFAULTS

if TYPE_CHECKING:
    from dspex_testkit.cassettes.session_cassettes import CassetteDeck, DeckSettings

_MAX_TOMBSTONES = 10_000


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
        session_ttl: float = DEFAULTS["session_ttl"],
        journal_size: int = DEFAULTS["journal_size"],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.journal = Journal(max_calls=journal_size)
        self.accounts = Accounts(self.journal)
        self.epoch = 0
        self._lock = threading.RLock()
        # The calls of an expired session stay: the journal is bounded anyway, and searching it each time would not be.
        self._sessions = Sessions(session_ttl, clock, expired=self._drop)
        self._deleted: OrderedDict[tuple[str | None, str], None] = OrderedDict()
        self._counters = CountersByLM()
        self._named: dict[str, Definition] = {}
        self._decks: dict[DeckSettings, CassetteDeck] = {}

    def put_program(self, record: ProgramRecord) -> None:
        """Keep a program, in place of one of the same id and session."""
        with self._lock:
            programs = self._sessions.open(record.session_id).programs
            self._let_program_go(programs.pop(record.program_id, None))
            programs[record.program_id] = KeptProgram(record)
            self._deleted.pop(record.key, None)

    def get_program(self, program_id: str, session_id: str | None) -> ProgramRecord | None:
        """The session's program of this id, else the one that was created without a session."""
        with self._lock:
            session = self._sessions.find(session_id)
            own = session.programs.get(program_id) if session else None
            kept = own or self._sessions.shared.programs.get(program_id)
            return kept.record if kept else None

    def programs(self, session: SessionFilter = ANY_SESSION) -> list[ProgramRecord]:
        """Programs in order of creation."""
        with self._lock:
            records = [kept.counted() for state in self._sessions.chosen(session) for kept in state.programs.values()]
        return sorted(records, key=lambda record: record.created_at)

    def delete_program(self, record: ProgramRecord) -> None:
        """Forget a program and remember that it was deleted."""
        with self._lock:
            if (session := self._sessions.find(record.session_id)) is not None:
                self._let_program_go(session.programs.pop(record.program_id, None))
            self._deleted[record.key] = None
            while len(self._deleted) > _MAX_TOMBSTONES:
                self._deleted.popitem(last=False)

    def was_deleted(self, program_id: str, session_id: str | None) -> bool:
        """Whether the program that a session saw under this id was deleted and not created again.

        A program that was created without a session is everybody's, so everybody sees that it is gone.
        """
        with self._lock:
            if (session_id, program_id) in self._deleted:
                return True
            session = self._sessions.find(session_id)
            has_own = session is not None and program_id in session.programs
            return (None, program_id) in self._deleted and not has_own

    def count_execution(self, program_id: str, session_id: str | None) -> None:
        """Note that the program that was kept for a session (or without one) ran."""
        with self._lock:
            session = self._sessions.find(session_id)
            if session is not None and (kept := session.programs.get(program_id)) is not None:
                kept.count(time.time())

    def settle(self) -> None:
        """Nothing is ever late in one process."""

    def set_lm(self, session_id: str | None, assignment: Assignment | None) -> Assignment | None:
        """Give a session (or, without one, the whole bridge) its LM, or take it; returns what was there."""
        with self._lock:
            session = self._sessions.open(session_id)
            replaced, session.lm = session.lm, assignment
            self._let_go(replaced)
            return replaced

    def get_lm(self, session_id: str | None) -> Assignment | None:
        """The LM of a session, or of the whole bridge."""
        with self._lock:
            session = self._sessions.find(session_id)
            return session.lm if session else None

    def define_lm(self, definition: Definition) -> Definition | None:
        """Keep an LM under a name; returns what it replaced."""
        with self._lock:
            replaced = self._named.pop(definition.name, None)
            self._named[definition.name] = definition
            self._let_go(replaced)
            return replaced

    def undefine_lm(self, name: str) -> Definition | None:
        """Forget the LM of a name; returns what it was, or None where there was none."""
        with self._lock:
            gone = self._named.pop(name, None)
            self._let_go(gone)
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
            sessions = self._sessions.described()
            held = [(holder, state.lm) for holder, state in sessions]
            held += [
                (f"program {kept.record.program_id!r}", kept.record.lm)
                for _, state in sessions
                for kept in state.programs.values()
            ]
        return [(holder, lm) for holder, lm in held if lm is not None]

    def has_budgets(self) -> bool:
        """Whether any budget has been set."""
        return self.accounts.has_budgets()

    def session_data(self, session_id: str) -> dict[str, Any]:
        """A copy of the session's data."""
        with self._lock:
            session = self._sessions.find(session_id)
            return dict(session.data) if session else {}

    def update_session_data(
        self, session_id: str, operation: DataOperation, key: str | None = None, value: Any = None
    ) -> dict[str, Any]:
        """Change the session's data, atomically, and return a copy."""
        with self._lock:
            data = self._sessions.open(session_id).data
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
        return self._counters.of(lm_id)

    def deck(self, settings: "DeckSettings") -> "CassetteDeck":
        """The cassettes that all workers with the same settings share."""
        from dspex_testkit.cassettes.session_cassettes import CassetteDeck

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
            return sum(self._drop_programs(state) for state in self._sessions.chosen(session))

    def reset(self) -> int:
        """Forget everything; returns the number of programs."""
        with self._lock:
            self.epoch += 1
            programs = self.drop_programs()
            self._sessions.clear()
            self._deleted.clear()
            self._counters.clear()
            self._named.clear()
            self.journal.clear()
            self.accounts.clear()
            self.close()
            return programs

    def close(self) -> None:
        """Close all cassettes, at the end of the process or pool that could still eject them."""
        for deck in self._decks.values():
            deck.close()

    def _drop(self, session_id: str) -> int:
        session = self._sessions.pop(session_id)
        self.accounts.forget_session(session_id)
        for deck in self._decks.values():
            deck.forget(session_id)
        if session is None:
            return 0
        self._let_go(session.lm)
        return self._drop_programs(session)

    def _drop_programs(self, session: SessionState) -> int:
        dropped, session.programs = session.programs, {}
        for kept in dropped.values():
            self._let_program_go(kept)
        return len(dropped)

    def _let_program_go(self, gone: KeptProgram | None) -> None:
        if gone is not None:
            self._let_go(gone.record.lm)

    def _let_go(self, gone: Assignment | Definition | None) -> None:
        """What an assignment has counted goes with it."""
        if gone is not None:
            self._counters.forget(gone.lm_id)
