"""`RemoteStore`: the store as a worker of a pool sees it."""

from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.state.records import ProgramRecord
from dspex_testkit.bridge.state.remote.board import Board
from dspex_testkit.bridge.state.remote.link import Link
from dspex_testkit.bridge.state.remote.memory import Memory
from dspex_testkit.bridge.state.remote.remote_object import RemoteObject
from dspex_testkit.bridge.state.store import CallAccounts, CallJournal, DataOperation, SessionFilter, StateStore
from dspex_testkit.calls import ANY_SESSION, Counters, Estimate, Holder, Limits, LMCall, LMChange
from dspex_testkit.lm.config.naming import Definition
from dspex_testkit.lm.resolution import Assignment

if TYPE_CHECKING:
    from dspex_testkit.bridge.state.remote.deck import RemoteDeck
    from dspex_testkit.cassettes.session_cassettes import DeckSettings


class RemoteJournal(RemoteObject):
    """The pool's journal."""

    def record(self, call: LMCall) -> LMCall:
        """Append a call without waiting for the host, so that the call returned has no sequence number yet."""
        self._tell(CallJournal.record, call)
        return call

    def record_change(self, change: LMChange) -> LMChange:
        """Append a change of who answers; returns it with its sequence number."""
        return self._call(CallJournal.record_change, change)

    def calls(
        self,
        *,
        since: int = 0,
        session_id: SessionFilter = ANY_SESSION,
        program_id: str | None = None,
        limit: int | None = None,
    ) -> list[LMCall]:
        """The calls in order, narrowed."""
        return self._call(CallJournal.calls, since=since, session_id=session_id, program_id=program_id, limit=limit)

    def changes(self, *, since: int = 0, session_id: SessionFilter = ANY_SESSION) -> list[LMChange]:
        """The changes in order, narrowed."""
        return self._call(CallJournal.changes, since=since, session_id=session_id)

    def count(self, *, session_id: SessionFilter = ANY_SESSION) -> int:
        """How many calls there are."""
        return self._call(CallJournal.count, session_id=session_id)

    def clear(self, *, session_id: SessionFilter = ANY_SESSION) -> int:
        """Forget calls and return their number."""
        return self._call(CallJournal.clear, session_id=session_id)


class RemoteAccounts(RemoteObject):
    """The pool's costs and budgets."""

    def admit(self, *, session_id: str | None, program_id: str | None, estimate: Estimate | None = None) -> int | None:
        """Let one call through, before anything is sent."""
        return self._call(CallAccounts.admit, session_id=session_id, program_id=program_id, estimate=estimate)

    def record(self, call: LMCall) -> LMCall:
        """Count a finished call and write it down. What comes back has no sequence number."""
        self._tell(CallAccounts.record, call)
        return call

    def costs(self, *, session_id: str | None = None, program_id: str | None = None) -> dict[str, Any]:
        """The sums as JSON values."""
        return self._call(CallAccounts.costs, session_id=session_id, program_id=program_id)

    def set_budget(self, holder: Holder, limits: Limits | None) -> dict[str, Any] | None:
        """Begin a budget, or end the holder's."""
        return self._call(CallAccounts.set_budget, holder, limits)

    def budgets(self) -> list[dict[str, Any]]:
        """All budgets as JSON values."""
        return self._call(CallAccounts.budgets)


class RemoteCounters(RemoteObject):
    """The pool's counters of one assignment."""

    def next_index(self, key: str) -> int:
        """Fetch and increment."""
        return self._call(Counters.next_index, key)

    def __deepcopy__(self, memo: dict[int, Any]) -> "RemoteCounters":
        return self


class RemoteStore(RemoteObject):
    """A `StateStore` in another process.

    What an execution reads is remembered until the board says that something changed, and no longer than
    `remembered_for`, so that the store sees that a session is in use.

    Args:
        link: Leads to the store.
        board: Says whether what was remembered still holds.
        remembered_for: Seconds.
    """

    def __init__(self, link: Link, board: Board, *, remembered_for: float = 1.0) -> None:
        memory = Memory(board, remembered_for)
        super().__init__(link, memory, "store")
        self._board = board
        self._journal = RemoteJournal(link, memory, "journal")
        self._accounts = RemoteAccounts(link, memory, "accounts")

    @property
    def journal(self) -> RemoteJournal:
        """The pool's LM calls."""
        return self._journal

    @property
    def accounts(self) -> RemoteAccounts:
        """The pool's costs and budgets."""
        return self._accounts

    @property
    def epoch(self) -> int:
        """How often everything was forgotten, by any worker."""
        return self._board.epoch

    def put_program(self, record: ProgramRecord) -> None:
        """Keep a program."""
        self._call(StateStore.put_program, record)

    def get_program(self, program_id: str, session_id: str | None) -> ProgramRecord | None:
        """The session's program of this id, else the one that was created without a session."""
        return self._call(StateStore.get_program, program_id, session_id)

    def programs(self, session: SessionFilter = ANY_SESSION) -> list[ProgramRecord]:
        """Programs in order of creation."""
        return self._call(StateStore.programs, session)

    def delete_program(self, record: ProgramRecord) -> None:
        """Forget a program and remember that it was deleted."""
        self._call(StateStore.delete_program, record)

    def was_deleted(self, program_id: str, session_id: str | None) -> bool:
        """Whether the program that a session saw under this id was deleted and not created again."""
        return self._call(StateStore.was_deleted, program_id, session_id)

    def count_execution(self, program_id: str, session_id: str | None) -> None:
        """Note that the program that was kept for a session (or without one) ran."""
        self._tell(StateStore.count_execution, program_id, session_id)

    def settle(self) -> None:
        """Send all pending messages, so that a later question about them is answered correctly."""
        self._link.flush()

    def set_lm(self, session_id: str | None, assignment: Assignment | None) -> Assignment | None:
        """Give a session (or, without one, the whole pool) its LM, or take it; returns what was there."""
        return self._call(StateStore.set_lm, session_id, assignment)

    def get_lm(self, session_id: str | None) -> Assignment | None:
        """The LM of a session, or of the whole pool."""
        return self._call(StateStore.get_lm, session_id)

    def define_lm(self, definition: Definition) -> Definition | None:
        """Keep an LM under a name; returns what it replaced."""
        return self._call(StateStore.define_lm, definition)

    def undefine_lm(self, name: str) -> Definition | None:
        """Forget the LM of a name; returns what it was."""
        return self._call(StateStore.undefine_lm, name)

    def find_lm(self, name: str) -> Definition | None:
        """The LM of a name."""
        return self._call(StateStore.find_lm, name)

    def named_lms(self) -> list[Definition]:
        """The LMs that have names, in order of definition."""
        return self._call(StateStore.named_lms)

    def assignments(self) -> list[tuple[str, Assignment]]:
        """Every LM that a scope of a client's holds, each with a description of the holder for a person."""
        return self._call(StateStore.assignments)

    def has_budgets(self) -> bool:
        """Whether any budget has been set."""
        return self._call(StateStore.has_budgets)

    def session_data(self, session_id: str) -> dict[str, Any]:
        """A copy of the session's data."""
        return self._call(StateStore.session_data, session_id)

    def update_session_data(
        self, session_id: str, operation: DataOperation, key: str | None = None, value: Any = None
    ) -> dict[str, Any]:
        """Change the session's data, atomically, and return a copy."""
        return self._call(StateStore.update_session_data, session_id, operation, key, value)

    def counters(self, lm_id: str) -> RemoteCounters:
        """The counters of one assignment."""
        return RemoteCounters(self._link, self._memory, "counters", [lm_id], lm_id)

    def deck(self, settings: "DeckSettings") -> "RemoteDeck":
        """The pool's cassettes."""
        # Here, because most bridges have no use for what belongs to recordings.
        from dspex_testkit.bridge.state.remote.deck import RemoteDeck

        return RemoteDeck(self._link, self._memory, settings)

    def drop_session(self, session_id: str) -> int:
        """Forget a session."""
        return self._call(StateStore.drop_session, session_id)

    def drop_programs(self, session: SessionFilter = ANY_SESSION) -> int:
        """Forget programs and return their number."""
        return self._call(StateStore.drop_programs, session)

    def reset(self) -> int:
        """Forget everything; returns the number of programs."""
        return self._call(StateStore.reset)

    def close(self) -> None:
        """Do nothing: cassettes belong to the pool and are closed with its last worker."""


if TYPE_CHECKING:

    def _is_a_store(store: RemoteStore) -> StateStore:
        """Here a type checker compares the two, wherever a worker is made."""
        return store
