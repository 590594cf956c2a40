"""Sessions keep apart what belongs to them, in both modes."""

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.interaction.conftest import Connect
from tests.support.bridges import Client

QA = "question -> answer"
ASK = {"question": "Who?"}


@pytest.fixture
def bridge(connect: Connect) -> Client:
    """A bridge on which a mock answers."""
    client: Client = connect(BridgeSettings(default_lm="mock"))
    return client


def ids(bridge: Client, session_id: str | None = None) -> list[str]:
    """The programs that a session (or everybody) sees."""
    listed = bridge.call("list_programs", {"session_id": session_id} if session_id else {})
    return [entry["id"] for entry in listed["programs"]]


def test_programs_are_listed_by_session(bridge: Client) -> None:
    """A named session sees its own, `anonymous` sees those without a session, nobody's name sees all."""
    for session_id in ("alice", "bob", "anonymous", None):
        bridge.call("create_program", {"id": f"of {session_id}", "signature": QA, "session_id": session_id})

    assert ids(bridge, "alice") == ["of alice"]
    assert ids(bridge, "anonymous") == ["of anonymous", "of None"]
    assert ids(bridge) == ["of alice", "of bob", "of anonymous", "of None"]


def test_a_session_cannot_reach_another_s_program(bridge: Client) -> None:
    """Execute, info and delete all say that there is no such program."""
    bridge.call("create_program", {"id": "p", "signature": QA, "session_id": "alice"})

    for command in ("execute_program", "get_program_info", "delete_program"):
        response = bridge.ask(command, {"program_id": "p", "inputs": ASK, "session_id": "bob"})
        assert response.code == "program_not_found"


def test_sessions_may_use_one_id_for_different_programs(bridge: Client) -> None:
    """Ids are unique within a session only."""
    bridge.call("create_program", {"id": "p", "signature": "question -> answer", "session_id": "alice"})
    bridge.call("create_program", {"id": "p", "signature": "question -> verdict", "session_id": "bob"})

    outputs = [
        list(bridge.call("execute_program", {"program_id": "p", "inputs": ASK, "session_id": name})["outputs"])
        for name in ("alice", "bob")
    ]

    assert outputs == [["answer"], ["verdict"]]


def test_a_named_session_may_use_programs_without_a_session(bridge: Client) -> None:
    """What was created without a session is there for everybody."""
    bridge.call("create_program", {"id": "p", "signature": QA})

    assert bridge.call("execute_program", {"program_id": "p", "inputs": ASK, "session_id": "alice"})["answer"]


@pytest.mark.parametrize("command", ["cleanup_session", "reset_state"])
def test_ending_a_session_touches_nothing_else(bridge: Client, command: str) -> None:
    """Its programs, LM, data and calls go; everybody else's stay."""
    for session_id in ("alice", "bob"):
        bridge.call("create_program", {"id": "p", "signature": QA, "session_id": session_id})
        bridge.call("configure_lm", {"provider": "mock", "model": session_id, "session_id": session_id})
        bridge.call("update_session_data", {"session_id": session_id, "operation": "set", "key": "k", "value": 1})
        bridge.call("execute_program", {"program_id": "p", "inputs": ASK, "session_id": session_id})

    bridge.call(command, {"session_id": "alice"})

    assert (ids(bridge, "alice"), ids(bridge, "bob")) == ([], ["p"])
    assert [call["session_id"] for call in bridge.call("get_journal")["calls"]] == ["bob"]
    assert bridge.call("get_lm", {"session_id": "alice"})["lm"]["scope"] == "default"
    assert bridge.call("get_lm", {"session_id": "bob"})["lm"]["model"] == "bob"
    assert bridge.call("get_session_data", {"session_id": "alice"})["data"] == {}
    assert bridge.call("get_session_data", {"session_id": "bob"})["data"] == {"k": 1}


def test_reset_forgets_everything(bridge: Client) -> None:
    """Programs, LMs, sessions, calls and counts are gone; the default LM stays."""
    bridge.call("create_program", {"id": "p", "signature": QA})
    bridge.call("configure_lm", {"provider": "mock", "model": "m"})
    bridge.call("execute_program", {"program_id": "p", "inputs": ASK})

    reset = bridge.call("reset_state")

    assert (reset["status"], reset["programs_cleared"]) == ("reset", 1)
    assert ids(bridge) == []
    assert bridge.call("get_journal")["calls"] == []
    assert bridge.call("get_lm")["lm"]["scope"] == "default"


def test_cleanup_removes_programs_only(bridge: Client) -> None:
    """The standalone shutdown sends it; LMs are left as they are."""
    bridge.call("create_program", {"id": "p", "signature": QA})
    bridge.call("create_program", {"id": "p", "signature": QA, "session_id": "alice"})

    assert bridge.call("cleanup", {"session_id": "alice"}) == {"status": "cleaned", "programs_removed": 1}
    assert bridge.call("cleanup") == {"status": "cleaned", "programs_removed": 1}


def test_an_anonymous_caller_cleans_up_after_anonymous_callers_only(bridge: Client) -> None:
    """The programs of named sessions stay."""
    for session in ({}, {"session_id": "anonymous"}, {"session_id": "alice"}):
        bridge.call("create_program", {"id": f"of {session}", "signature": QA, **session})

    assert bridge.call("cleanup", {"session_id": "anonymous"})["programs_removed"] == 2
    assert ids(bridge) == ids(bridge, "alice") == ["of {'session_id': 'alice'}"]


def test_counts_of_a_session_are_its_own(bridge: Client) -> None:
    """Programs, executions and LM calls; without a name, everybody's."""
    for session_id, times in (("alice", 2), ("bob", 1)):
        bridge.call("create_program", {"id": "p", "signature": QA, "session_id": session_id})
        for _ in range(times):
            bridge.call("execute_program", {"program_id": "p", "inputs": ASK, "session_id": session_id})

    def counts(**args: str) -> list[int]:
        stats = bridge.call("get_stats", args)
        return [stats[f"{what}_count"] for what in ("programs", "execution", "lm_call")]

    assert (counts(session_id="alice"), counts(session_id="bob"), counts()) == ([1, 2, 2], [1, 1, 1], [2, 3, 3])


def test_an_execution_in_a_session_asks_once_and_configures_nothing(bridge: Client) -> None:
    """No trial call, no change of any LM, whoever was asked before."""
    for session_id in ("alice", "bob"):
        bridge.call("create_program", {"id": "p", "signature": QA, "session_id": session_id})
        bridge.call("configure_lm", {"provider": "mock", "model": session_id, "session_id": session_id})
    configured = bridge.call("get_journal")["changes"]
    for session_id in ("alice", "bob", "alice"):
        bridge.call("execute_program", {"program_id": "p", "inputs": ASK, "session_id": session_id})

    journal = bridge.call("get_journal")
    assert [call["model"] for call in journal["calls"]] == ["alice", "bob", "alice"]
    assert journal["changes"] == configured


def test_session_data_is_kept_and_changed(bridge: Client) -> None:
    """Set, merge, delete and clear, each on the session's own map."""

    def update(operation: str, **args: object) -> None:
        bridge.call("update_session_data", {"session_id": "alice", "operation": operation, **args})

    def data() -> object:
        return bridge.call("get_session_data", {"session_id": "alice"})["data"]

    update("set", key="a", value=1)
    update("merge", value={"b": 2, "c": 3})
    assert data() == {"a": 1, "b": 2, "c": 3}
    update("delete", key="b")
    assert data() == {"a": 1, "c": 3}
    update("clear")
    assert data() == {}


@pytest.mark.parametrize(
    ("command", "args", "text"),
    [
        ("cleanup_session", {}, "Session ID required for cleanup"),
        ("get_session_data", {}, "session_id is required"),
        ("update_session_data", {"session_id": "a", "operation": "explode"}, "Invalid operation"),
        ("update_session_data", {"session_id": "a", "operation": "set"}, "Missing argument 'key'"),
        ("update_session_data", {"session_id": "a", "operation": "merge", "value": 5}, "Invalid argument 'value'"),
        ("list_programs", {"session_id": 5}, "Invalid argument 'session_id'"),
    ],
)
def test_wrong_session_arguments_are_explained(
    bridge: Client, command: str, args: dict[str, object], text: str
) -> None:
    """The error says what is missing or wrong."""
    response = bridge.ask(command, args)

    assert response.code == "invalid_args"
    assert text in str(response.message)
