"""`StateStore`: all state that the workers of one pool may share.

A bridge keeps nothing of a client's anywhere else. Compiled modules and LM objects are caches, built anew from what
is here; so a store that lives in another process needs to carry only these values.
"""

from typing import TYPE_CHECKING, Any, Literal, Protocol

from dspex_testkit.bridge.state.records import ProgramRecord
from dspex_testkit.calls import ANY_SESSION, Counters, Estimate, Holder, Limits, LMCall, LMChange
from dspex_testkit.calls.journal import _AnySession
from dspex_testkit.lm.config.naming import Definition
from dspex_testkit.lm.resolution import Assignment

if TYPE_CHECKING:
    from dspex_testkit.cassettes.interfaces import Deck
    from dspex_testkit.cassettes.session_cassettes import DeckSettings

SessionFilter = str | _AnySession | None
DataOperation = Literal["set", "merge", "delete", "clear"]


class CallJournal(Protocol):
    """The ordered LM calls, and the changes of who answers; see `calls.Journal`."""

    def record(self, call: LMCall) -> LMCall:
        """Append a call."""
        ...

    def record_change(self, change: LMChange) -> LMChange:
        """Append a change of who answers; returns it with its sequence number."""
        ...

    def calls(
        self,
        *,
        since: int = 0,
        session_id: SessionFilter = ANY_SESSION,
        program_id: str | None = None,
        limit: int | None = None,
    ) -> list[LMCall]:
        """The calls in order: after a sequence number, of a session or a program, the last ones."""
        ...

    def changes(self, *, since: int = 0, session_id: SessionFilter = ANY_SESSION) -> list[LMChange]:
        """The changes in order: after a sequence number, of a session."""
        ...

    def count(self, *, session_id: SessionFilter = ANY_SESSION) -> int:
        """How many calls there are: in all, or a session's."""
        ...

    def clear(self, *, session_id: SessionFilter = ANY_SESSION) -> int:
        """Forget calls, all or a session's, and return their number."""
        ...


class CallAccounts(Protocol):
    """What calls cost, and what they may; see `calls.Accounts`."""

    def admit(self, *, session_id: str | None, program_id: str | None, estimate: Estimate | None = None) -> int | None:
        """Let one call through, before anything is sent; returns its reservation.

        Raises:
            BudgetExceededError: A budget that it falls under is used up.
        """
        ...

    def record(self, call: LMCall) -> LMCall:
        """Count a finished call and write it down."""
        ...

    def costs(self, *, session_id: str | None = None, program_id: str | None = None) -> dict[str, Any]:
        """The sums as JSON values, all or those of one session or program."""
        ...

    def set_budget(self, holder: Holder, limits: Limits | None) -> dict[str, Any] | None:
        """Begin a budget, or end the holder's."""
        ...

    def budgets(self) -> list[dict[str, Any]]:
        """All budgets as JSON values."""
        ...


class StateStore(Protocol):
    """Programs, LM scopes, sessions, counters and the journal of a bridge or of a pool's bridges."""

    @property
    def journal(self) -> CallJournal:
        """The LM calls."""
        ...

    @property
    def accounts(self) -> CallAccounts:
        """What they cost, and what they may."""
        ...

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
        """Whether the program that a session saw under this id was deleted and not created again."""
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
        """Whether any budget has been set."""
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
        """The cassettes that all workers with the same settings share."""
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
        """Close all cassettes, at the end of the process or pool that could still eject them."""
        ...
