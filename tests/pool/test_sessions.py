"""The pool remembers of sessions and programs what DSPex remembers."""

from typing import Any

import pytest

from dspex_testkit.pool import ANONYMOUS, SessionStore
from dspex_testkit.protocol import Response

CREATED = {
    "program_id": "p",
    "status": "created",
    "signature": "question -> answer",
    "program_type": "predict",
    "signature_class": "QA",
    "field_mapping": {"question": "question"},
    "fallback_used": False,
    "signature_def": {"inputs": []},
    "warnings": ["not for the pool"],
}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def create(store: SessionStore, session_id: str | None) -> None:
    """Let a program be created in a session."""
    store.learn("create_program", {"id": "p"}, session_id, Response.ok(1, CREATED))


def sent(store: SessionStore, session_id: str | None) -> dict[str, Any]:
    """What goes with the execution of the program in a session."""
    return store.outgoing("execute_program", {"program_id": "p", "inputs": {}}, session_id)


def test_program_data_has_exactly_the_keys_of_the_contract() -> None:
    """Whatever else a create result holds, it does not travel."""
    store = SessionStore()
    create(store, "alice")

    data = sent(store, "alice")["program_data"]

    assert isinstance(data.pop("created_at"), int)
    assert data == {
        "program_id": "p",
        "signature_def": {"inputs": []},
        "signature_class": "QA",
        "field_mapping": {"question": "question"},
        "fallback_used": False,
        "execution_count": 0,
        "last_executed": None,
        "program_type": "predict",
        "signature": "question -> answer",
    }


@pytest.mark.parametrize(
    ("created_in", "executed_in", "attached"),
    [
        ("alice", "alice", True),
        ("alice", "bob", False),
        ("alice", ANONYMOUS, False),
        ("alice", None, False),
        (None, None, True),
        (None, ANONYMOUS, True),
        (None, "alice", False),
        (ANONYMOUS, ANONYMOUS, False),
        (ANONYMOUS, None, False),
    ],
)
def test_program_data_goes_with_who_stored_it(created_in: str | None, executed_in: str | None, attached: bool) -> None:
    """A named session sees its own, callers without one the global store; `anonymous` as a session stores nothing."""
    store = SessionStore()
    create(store, created_in)

    assert ("program_data" in sent(store, executed_in)) is attached


def test_only_an_execution_carries_program_data() -> None:
    """Other commands about a program go as they are."""
    store = SessionStore()
    create(store, "alice")

    assert store.outgoing("get_program_info", {"program_id": "p"}, "alice") == {"program_id": "p"}


def test_program_data_of_the_caller_is_left_alone() -> None:
    """Who brings it knows better."""
    store = SessionStore()
    create(store, "alice")
    args = {"program_id": "p", "program_data": {"program_id": "other"}}

    assert store.outgoing("execute_program", args, "alice") == args


def test_a_failed_command_leaves_no_trace() -> None:
    """Neither a program nor an operation."""
    store = SessionStore()

    store.learn("create_program", {"id": "p"}, "alice", Response.error(1, "no", "invalid_program"))

    assert store.sessions() == ()


def test_a_deleted_program_s_copy_stays() -> None:
    """As in DSPex; the bridge knows that it was deleted."""
    store = SessionStore()
    create(store, "alice")

    store.learn("delete_program", {"program_id": "p"}, "alice", Response.ok(2, {"program_id": "p"}))

    assert "program_data" in sent(store, "alice")


def test_a_session_is_forgotten_an_hour_after_its_last_use() -> None:
    """Each use begins the hour anew; the global store does not age."""
    clock = Clock()
    store = SessionStore(clock=clock)
    create(store, "alice")
    create(store, None)

    clock.now += 3599
    store.learn("ping", {}, "alice", Response.ok(2, {}))
    clock.now += 3599
    assert "program_data" in sent(store, "alice")

    clock.now += 2
    assert "program_data" not in sent(store, "alice")
    assert store.sessions() == ()
    assert "program_data" in sent(store, None)


def test_sessions_count_their_operations() -> None:
    """For a look at who does what."""
    store = SessionStore()
    for _ in range(3):
        store.learn("ping", {}, "alice", Response.ok(1, {}))
    store.learn("ping", {}, None, Response.ok(1, {}))

    assert [(session.session_id, session.operations) for session in store.sessions()] == [("alice", 3)]


def test_an_ended_session_is_forgotten() -> None:
    """Ending it again does nothing."""
    store = SessionStore()
    create(store, "alice")

    assert store.end_session("alice")
    assert not store.end_session("alice")
    assert "program_data" not in sent(store, "alice")
