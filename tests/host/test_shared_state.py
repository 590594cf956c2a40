"""What one worker of a pool is told, every worker of it knows; nobody else does."""

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dspex_testkit.limits import NESTING
from tests.host.conftest import Start
from tests.support.bridges import Process

Pair = tuple[Process, Process]

QA = "question -> answer"
ASK = {"question": "Who?"}
SESSIONS: list[dict[str, str]] = [{}, {"session_id": "anonymous"}, {"session_id": "alice"}]


def mock(answer: str, **more: object) -> dict[str, Any]:
    """A mock that says one thing."""
    return {"provider": "mock", "responses": {"default": answer}, **more}


def execute(bridge: Process, program_id: str = "p", **args: object) -> dict[str, Any]:
    """The result of one execution."""
    return bridge.call("execute_program", {"program_id": program_id, "inputs": ASK, **args})


def answer(bridge: Process, program_id: str = "p", **args: object) -> Any:
    """The answer of one execution."""
    return execute(bridge, program_id, **args)["outputs"]["answer"]


@pytest.mark.parametrize("key", [None, "a", "$"], ids=["lists", "maps", "maps with the sign of what travels"])
def test_the_deepest_value_that_a_client_may_send_reaches_the_other_worker(pair: Pair, key: str | None) -> None:
    """What is said between worker and host wraps it, and is deeper; that may end neither."""
    one, other = pair
    deepest: Any = 1
    for _ in range(NESTING - 2):  # the request and its arguments are the first two
        deepest = [deepest] if key is None else {key: deepest}
    one.call("update_session_data", {"session_id": "alice", "key": "deep", "value": deepest})
    one.call("configure_lm", mock("Ada"))
    one.call("create_program", {"id": "p", "signature": QA})

    assert other.call("get_session_data", {"session_id": "alice"})["data"] == {"deep": deepest}
    assert answer(other) == "Ada"


@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_a_program_of_one_worker_runs_on_the_other(pair: Pair, session: Mapping[str, str]) -> None:
    """Without `program_data`, whoever created it and with whatever session."""
    one, other = pair
    one.call("create_program", {"id": "p", "signature": QA, "lm_config": mock("Ada"), **session})

    assert answer(other, **session) == "Ada"
    assert answer(one, **session) == "Ada"


@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_a_program_of_one_worker_is_listed_and_described_by_the_other(pair: Pair, session: Mapping[str, str]) -> None:
    """With the executions of both."""
    one, other = pair
    one.call("create_program", {"id": "p", "signature": QA, "lm_config": mock("Ada"), **session})
    execute(one, **session)
    execute(other, **session)

    listed = other.call("list_programs", session)
    described = other.call("get_program_info", {"program_id": "p", **session})

    assert [(program["id"], program["execution_count"]) for program in listed["programs"]] == [("p", 2)]
    assert described["execution_count"] == 2
    assert one.call("get_stats", session)["execution_count"] == 2


@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_a_program_deleted_on_one_worker_is_gone_on_the_other(pair: Pair, session: Mapping[str, str]) -> None:
    """Also where the other has run it before."""
    one, other = pair
    created = one.call("create_program", {"id": "p", "signature": QA, "lm_config": mock("Ada"), **session})
    execute(one, **session)
    other.call("delete_program", {"program_id": "p", **session})

    gone = one.ask("execute_program", {"program_id": "p", "inputs": ASK, "program_data": created, **session})

    assert gone.code == "program_not_found"
    assert one.call("list_programs", session)["programs"] == []


def test_a_program_created_again_is_the_new_one_everywhere(pair: Pair) -> None:
    """What a worker remembers of it does not outlive the change."""
    one, other = pair
    one.call("create_program", {"id": "p", "signature": QA, "lm_config": mock("old")})
    assert answer(other) == "old"
    one.call("create_program", {"id": "p", "signature": QA, "lm_config": mock("new")})

    assert answer(other) == "new"


@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_an_lm_configured_on_one_worker_answers_on_the_other(pair: Pair, session: Mapping[str, str]) -> None:
    """The pool's global LM and a session's, and each time anew."""
    one, other = pair
    other.call("create_program", {"id": "p", "signature": QA, **session})
    for number in range(3):
        one.call("configure_lm", {**mock(f"answer {number}", model=f"m{number}"), **session})
        result = execute(other, **session)
        assert result["outputs"] == {"answer": f"answer {number}"}
        assert result["lm"]["model"] == f"m{number}"
        assert result["lm"]["scope"] == ("session" if session.get("session_id") == "alice" else "global")


def test_a_key_given_to_one_worker_serves_the_other_and_is_shown_by_none(pair: Pair) -> None:
    """It has to be there for a real provider, and nowhere else."""
    one, other = pair
    key = "sk-very-secret-key-0123456789"
    one.call("configure_lm", {"provider": "openai", "model": "gpt-4o", "api_key": key, "session_id": "alice"})
    one.call("create_program", {"id": "p", "signature": QA, "lm_config": {"model": "openai/gpt-4", "api_key": key}})
    execute(other, session_id="alice")

    shown = [
        other.call("get_lm", {"session_id": "alice"}),
        other.call("get_program_info", {"program_id": "p"}),
        other.call("get_journal"),
        other.call("list_programs"),
    ]

    assert key not in json.dumps(shown)


def test_the_journal_is_the_pools(pair: Pair) -> None:
    """In one order, with the worker that answered."""
    one, other = pair
    one.call("create_program", {"id": "p", "signature": QA, "lm_config": mock("Ada")})
    for worker in (one, other, other, one):
        execute(worker, session_id="alice")

    calls = other.call("get_journal", {"session_id": "alice"})["calls"]

    assert [call["worker_id"] for call in calls] == ["worker_1", "worker_2", "worker_2", "worker_1"]
    assert [call["seq"] for call in calls] == sorted(call["seq"] for call in calls)
    assert one.call("clear_journal")["calls_cleared"] == 4
    assert other.call("get_journal")["calls"] == []


def test_a_failed_call_is_in_the_journal_before_its_client_hears_of_it(pair: Pair) -> None:
    """Whoever asks another worker then finds it."""
    one, other = pair
    one.call("configure_lm", {"provider": "mock", "script": [{"answer": "only"}]})
    one.call("create_program", {"id": "p", "signature": QA})
    execute(one)
    assert not one.ask("execute_program", {"program_id": "p", "inputs": ASK}).success

    assert [call["error"] is None for call in other.call("get_journal")["calls"]] == [True, False]


def test_a_script_goes_on_where_any_worker_left_it(pair: Pair) -> None:
    """The position belongs to the assignment, not to a worker."""
    one, other = pair
    one.call("configure_lm", {"provider": "mock", "script": [{"answer": str(number)} for number in range(4)]})
    one.call("create_program", {"id": "p", "signature": QA})

    assert [answer(worker) for worker in (one, other, one, other)] == ["0", "1", "2", "3"]


def test_a_reset_on_one_worker_empties_the_pool(pair: Pair) -> None:
    """Programs, sessions, LMs and calls; what the other has compiled is compiled anew."""
    one, other = pair
    one.call("configure_lm", mock("Ada"))
    one.call("create_program", {"id": "p", "signature": QA})
    one.call("create_program", {"id": "q", "signature": QA, "session_id": "alice"})
    assert answer(other) == "Ada"

    assert one.call("reset_state")["programs_cleared"] == 2

    assert other.call("list_programs")["programs"] == []
    assert other.call("get_journal")["calls"] == []
    assert other.call("get_lm")["lm"] is None
    other.call("create_program", {"id": "p", "signature": "question -> answer, reason", "lm_config": mock("Eve")})
    assert answer(one) == "Eve"


def test_session_data_and_its_end_are_seen_by_every_worker(pair: Pair) -> None:
    """What DSPex stores for a session, and that it is over."""
    one, other = pair
    one.call("update_session_data", {"session_id": "alice", "operation": "set", "key": "k", "value": {"a": [1, None]}})
    other.call("update_session_data", {"session_id": "alice", "operation": "merge", "value": {"m": 2}})
    other.call("create_program", {"id": "p", "signature": QA, "session_id": "alice"})
    assert one.call("get_session_data", {"session_id": "alice"})["data"] == {"k": {"a": [1, None]}, "m": 2}

    assert one.call("cleanup_session", {"session_id": "alice"})["programs_removed"] == 1

    assert other.call("get_session_data", {"session_id": "alice"})["data"] == {}
    assert other.ask("get_program_info", {"program_id": "p", "session_id": "alice"}).code == "program_not_found"


def test_sessions_do_not_see_each_other_across_workers(pair: Pair) -> None:
    """Neither programs nor LMs."""
    one, other = pair
    one.call("create_program", {"id": "p", "signature": QA, "session_id": "a"})
    one.call("configure_lm", {**mock("of a", model="of-a"), "session_id": "a"})
    other.call("configure_lm", {**mock("of b", model="of-b"), "session_id": "b"})

    assert other.ask("execute_program", {"program_id": "p", "inputs": ASK, "session_id": "b"}).code == (
        "program_not_found"
    )
    assert other.call("list_programs", {"session_id": "b"})["programs"] == []
    assert other.call("get_lm", {"session_id": "a"})["lm"]["model"] == "of-a"
    assert one.call("get_lm", {"session_id": "b"})["lm"]["model"] == "of-b"


def test_standalone_bridges_of_one_owner_share_nothing(start: Start) -> None:
    """Each is a bridge of its own, though they come from one host."""
    one, other, worker = start(mode="standalone"), start(mode="standalone"), start()
    one.call("configure_lm", mock("Ada"))
    one.call("create_program", {"id": "p", "signature": QA})

    for stranger in (other, worker):
        assert stranger.call("list_programs")["programs"] == []
        assert stranger.call("get_lm")["lm"] is None
        assert stranger.call("get_journal")["calls"] == []


OTHER_OWNER = """
import json, sys
from tests.support.bridges import Process
with Process(mode="pool-worker") as worker:
    print(json.dumps([worker.call("list_programs"), worker.call("get_lm")["lm"], worker.call("get_journal")["calls"]]))
"""


def test_another_owner_sees_nothing(start: Start) -> None:
    """As the workers of another BEAM do not, on the same machine at the same time."""
    worker = start()
    worker.call("configure_lm", mock("Ada"))
    worker.call("create_program", {"id": "p", "signature": QA})
    execute(worker)

    done = subprocess.run([sys.executable, "-c", OTHER_OWNER], capture_output=True, text=True, check=True)

    programs, lm, calls = json.loads(done.stdout)
    assert (programs["programs"], lm, calls) == ([], None, [])


def test_a_worker_without_the_host_shares_nothing(start: Start) -> None:
    """It says so in its log, and works."""
    hosted, alone = start(), start(env={"DSPEX_TESTKIT_HOST": "off"})
    hosted.call("create_program", {"id": "p", "signature": QA, "lm_config": mock("Ada")})
    alone.call("create_program", {"id": "q", "signature": QA, "lm_config": mock("Eve")})

    assert answer(alone, "q") == "Eve"
    assert [program["id"] for program in alone.call("list_programs")["programs"]] == ["q"]
    assert [program["id"] for program in hosted.call("list_programs")["programs"]] == ["p"]


def test_many_workers_at_once_keep_one_order(start: Start) -> None:
    """Scripted answers are given once each, whoever asks."""
    workers = [start(worker_id=f"worker_{number}") for number in range(4)]
    workers[0].call("configure_lm", {"provider": "mock", "script": [{"answer": str(number)} for number in range(40)]})
    workers[0].call("create_program", {"id": "p", "signature": QA})

    with ThreadPoolExecutor(len(workers)) as threads:
        answers = list(threads.map(lambda worker: [answer(worker) for _ in range(10)], workers))

    assert sorted(int(given) for some in answers for given in some) == list(range(40))
    assert len(workers[3].call("get_journal")["calls"]) == 40
