"""An execution may have a deadline; what cannot be stopped is counted and capped."""

from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.interaction.conftest import Connect
from tests.support.bridges import Client
from tests.support.waiting import eventually

SLOW = {"provider": "mock", "responses": {"default": "late"}, "latency_ms": 3_600_000}
QUICK = {"provider": "mock", "responses": {"default": "quick"}}
BLOCKING = {"provider": "mock", "function": "tests.support.blocking:until_file_exists"}


@pytest.fixture
def bridge(connect: Connect) -> Client:
    """A bridge with one program of each kind, where one execution may go on unheard."""
    client: Client = connect(BridgeSettings(allow_import=("tests.support.blocking",), concurrency=1))
    client.call("create_program", {"id": "p", "signature": "question -> answer"})
    # What is imported on first use holds up a loop; the deadlines here are about LMs.
    run(client, QUICK, timeout_ms=60_000)
    client.call("clear_journal")
    return client


def run(bridge: Client, lm: Any, question: str = "?", **args: Any) -> Any:
    """One execution's response."""
    return bridge.ask("execute_program", {"program_id": "p", "inputs": {"question": question}, "lm_config": lm, **args})


@pytest.mark.parametrize("place", ["argument", "options"])
def test_what_takes_too_long_is_cancelled(bridge: Client, place: str) -> None:
    """The error says so; the call that was cancelled is in the journal, and nothing goes on."""
    limit = {"timeout_ms": 50}
    response = run(bridge, SLOW, **(limit if place == "argument" else {"options": limit}))

    assert response.code == "execution_timeout"
    assert "within 50 ms; it was cancelled" in str(response.message)
    assert response.details == {"program_id": "p", "timeout_ms": 50, "stopped": True}
    assert bridge.call("get_stats")["unstoppable_count"] == 0
    assert bridge.call("get_journal")["calls"][0]["error"]
    assert run(bridge, QUICK).result["outputs"] == {"answer": "quick"}


@pytest.mark.parametrize("program_type", ["predict", "chain_of_thought", "react"])
def test_what_is_in_time_answers_as_without_a_deadline(bridge: Client, program_type: str) -> None:
    """Every kind of program that DSPy runs asynchronously."""
    args = {"id": "own", "signature": "question -> answer", "program_type": program_type, "lm_config": QUICK}
    bridge.call("create_program", args)
    execute = {"program_id": "own", "inputs": {"question": "?"}}

    with_deadline = bridge.call("execute_program", {**execute, "timeout_ms": 60_000})
    without = bridge.call("execute_program", execute)

    assert with_deadline["outputs"] == without["outputs"]
    assert with_deadline["outputs"]["answer"] == "quick"


def test_a_failure_within_the_deadline_is_told_as_without_one(bridge: Client) -> None:
    """A mock's own code and message."""
    response = run(bridge, {"provider": "mock", "responses": {"other": "x"}}, timeout_ms=60_000)
    assert response.code == "no_matching_rule"


def test_a_deadline_cancels_the_members_of_an_ensemble(bridge: Client) -> None:
    """As one call."""
    ensemble = {"kind": "ensemble", "strategy": "all", "members": [SLOW, SLOW]}
    assert run(bridge, ensemble, timeout_ms=50).details["stopped"] is True


def test_what_cannot_be_stopped_is_counted_and_capped(bridge: Client, tmp_path: Path) -> None:
    """It goes on unheard; while too many do, nothing more is begun; when it ends, all is as before."""
    gate = tmp_path / "gate"
    late = run(bridge, BLOCKING, str(gate), timeout_ms=50)
    refused = run(bridge, QUICK)
    counted = bridge.call("get_stats")["unstoppable_count"]
    gate.touch()
    eventually(lambda: bridge.call("get_stats")["unstoppable_count"] == 0)

    assert (late.code, late.details["stopped"]) == ("execution_timeout", False)
    assert "could not be stopped" in str(late.message)
    assert counted == 1
    assert (refused.code, refused.details) == ("overloaded", {"unstoppable": 1, "limit": 1})
    assert run(bridge, QUICK).success


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1000", True])
def test_an_impossible_deadline_is_explained(bridge: Client, limit: object) -> None:
    """Milliseconds, at least one."""
    response = run(bridge, QUICK, timeout_ms=limit)
    assert response.code == "invalid_args"
    assert "an integer of at least 1" in str(response.message)
