"""The state store: programs, LMs and sessions, against a model of a few lines."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dspex_testkit.bridge.state.in_process import InProcessStore
from dspex_testkit.bridge.state.records import ProgramRecord
from dspex_testkit.calls import LMCall, Scope
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.resolution import Assignment

SESSIONS = st.sampled_from([None, "a", "b"])
IDS = st.sampled_from(["p", "q"])


def record(program_id: str, session_id: str | None, **fields: Any) -> ProgramRecord:
    """A program that only has a name."""
    return ProgramRecord(program_id, session_id, definition={}, digest="d", signature=None, **fields)


def assignment(model: str) -> Assignment:
    """An LM that only has a name."""
    return Assignment(Scope.SESSION, LMConfig(provider="mock", model=model), f"lm-{model}")


class StoreMachine(RuleBasedStateMachine):
    """Whatever is put, deleted and dropped, the store shows what a dict would."""

    def __init__(self) -> None:
        super().__init__()
        self.store = InProcessStore()
        self.programs: dict[tuple[str | None, str], int] = {}
        self.lms: dict[str | None, str] = {}
        self.deleted: set[tuple[str | None, str]] = set()
        self.numbers = iter(range(10**9))

    @rule(session=SESSIONS, program=IDS)
    def put(self, session: str | None, program: str) -> None:
        """Create or replace a program."""
        self.programs[session, program] = 0
        self.deleted.discard((session, program))
        self.store.put_program(record(program, session))

    @rule(session=SESSIONS, program=IDS)
    def delete(self, session: str | None, program: str) -> None:
        """Delete what the session sees under this id."""
        found = self.store.get_program(program, session)
        if found is not None:
            self.store.delete_program(found)
            del self.programs[found.key]
            self.deleted.add(found.key)

    @rule(session=SESSIONS, program=IDS)
    def run(self, session: str | None, program: str) -> None:
        """Count an execution."""
        found = self.store.get_program(program, session)
        if found is not None:
            self.store.count_execution(found.program_id, found.session_id)
            self.programs[found.key] += 1

    @rule(session=SESSIONS)
    def configure(self, session: str | None) -> None:
        """Give a scope another LM."""
        self.lms[session] = model = f"m{next(self.numbers)}"
        self.store.set_lm(session, assignment(model))

    @rule(session=st.sampled_from(["a", "b"]))
    def drop(self, session: str) -> None:
        """End a session."""
        gone = [key for key in self.programs if key[0] == session]
        assert self.store.drop_session(session) == len(gone)
        for key in gone:
            del self.programs[key]
        self.lms.pop(session, None)

    @rule()
    def reset(self) -> None:
        """Forget everything."""
        assert self.store.reset() == len(self.programs)
        self.programs, self.lms, self.deleted = {}, {}, set()

    @invariant()
    def shows_what_the_model_shows(self) -> None:
        """Programs with their counts, LMs, and what was deleted."""
        assert {r.key: r.execution_count for r in self.store.programs()} == self.programs
        for session in (None, "a", "b"):
            held = self.store.get_lm(session)
            model = held.value.model if held is not None and isinstance(held.value, LMConfig) else None
            assert model == self.lms.get(session)
            for program in ("p", "q"):
                seen = ((session, program), (None, program))
                # Everybody sees the program without a session, and that it is gone, who has none of his own.
                gone = seen[0] in self.deleted or (seen[1] in self.deleted and seen[0] not in self.programs)
                assert self.store.was_deleted(program, session) == gone
                found = self.store.get_program(program, session)
                keys = [key for key in seen if key in self.programs]
                assert (found.key if found else None) == (keys[0] if keys else None)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=30, stateful_step_count=30)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_a_session_is_forgotten_when_its_time_is_over() -> None:
    """Each use gives it its whole time again; its calls stay in the journal."""
    clock = Clock()
    store = InProcessStore(session_ttl=100, clock=clock)
    store.put_program(record("p", "a"))
    store.set_lm("b", assignment("m"))
    store.journal.record(LMCall(provider="mock", model="m", session_id="a"))
    clock.now = 99
    assert store.get_lm("b") is not None
    clock.now = 150

    assert store.get_program("p", "a") is None
    assert store.get_lm("b") is not None
    assert len(store.journal) == 1
    clock.now = 260
    assert store.get_lm("b") is None


def test_asking_for_an_unknown_session_leaves_no_trace() -> None:
    """DSPex makes up throw-away session names; they must not pile up."""
    store = InProcessStore()
    for number in range(100):
        store.get_lm(f"anon_{number}")
        store.get_program("p", f"anon_{number}")
        store.session_data(f"anon_{number}")

    assert [whose for whose, _ in store._sessions.described()] == ["the global scope"]


def test_a_new_assignment_begins_to_count_anew() -> None:
    """What an engine counted under the LM that was replaced is forgotten."""
    store = InProcessStore()
    store.set_lm("a", assignment("one"))
    assert store.counters("lm-one").next_index("script") == 0
    assert store.counters("lm-one").next_index("script") == 1

    store.set_lm("a", assignment("two"))

    assert store.counters("lm-one").next_index("script") == 0


def test_a_program_is_found_by_its_session_first() -> None:
    """The session's own program hides the one that everybody may use."""
    store = InProcessStore()
    store.put_program(record("p", None))
    store.put_program(record("p", "a"))

    assert [found.session_id for found in (store.get_program("p", "a"), store.get_program("p", "b")) if found] == [
        "a",
        None,
    ]


def test_a_listing_counts_executions_and_leaves_the_record_as_it_was_created() -> None:
    """What is told of a program changes with each execution; what it is built from does not."""
    store = InProcessStore()
    store.put_program(record("p", None))
    created = store.get_program("p", None)

    store.count_execution("p", None)
    store.count_execution("p", None)

    assert [kept.execution_count for kept in store.programs()] == [2]
    assert store.get_program("p", None) is created
