"""Two workers of a pool keep one set of named LMs, one account and one budget, also while both are at work."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.pool import BridgeClient, BridgePool
from dspex_testkit.protocol import Response
from tests.pool.conftest import MOCKED
from tests.support.waiting import eventually

Two = tuple[BridgeClient, BridgeClient]

QA = "question -> answer"
PRICES = {"input": 10, "output": 20}
PRICED = {"provider": "mock", "model": "priced", "responses": {"default": "x"}, "prices": PRICES}
GATED = {"provider": "mock", "model": "gated", "function": "tests.support.blocking:until_file_exists", "prices": PRICES}


def mock(answer: str) -> dict[str, Any]:
    """A config whose answer tells which config it was."""
    return {"provider": "mock", "model": f"model-{answer}", "responses": {"default": answer}}


def run(worker: BridgeClient, lm: Any = PRICED, question: str = "Who?", **args: Any) -> Response:
    """One execution's response."""
    return worker.ask("execute_program", {"program_id": "p", "inputs": {"question": question}, "lm_config": lm, **args})


def answer(worker: BridgeClient, lm: Any) -> Any:
    """What an execution on an LM answers."""
    return run(worker, lm).result["outputs"]["answer"]


def at_once(pool: BridgePool, times: int) -> list[Response]:
    """Executions by many callers, on whichever worker is free."""
    with ThreadPoolExecutor(8) as callers:
        return list(callers.map(lambda _: run(pool), range(times)))


def spent(costs: dict[str, Any]) -> dict[str, Any]:
    """What is noted against the only budget."""
    (budget,) = costs["budgets"]
    noted: dict[str, Any] = budget["spent"]
    return noted


@pytest.fixture(scope="module")
def _module_pool() -> Iterator[BridgePool]:
    launch = MOCKED.with_env(DSPEX_TESTKIT_ALLOW_IMPORT="tests.support.blocking")
    with BridgePool(2, launch=launch, eager=True) as pool:
        yield pool


@pytest.fixture
def pool(_module_pool: BridgePool) -> BridgePool:
    """Two workers with nothing in them but a program."""
    _module_pool.reset()
    _module_pool.call("create_program", {"id": "p", "signature": QA})
    return _module_pool


@pytest.fixture
def two(pool: BridgePool) -> Iterator[Two]:
    """Both workers, in one caller's hands."""
    with pool.checkout() as one, pool.checkout() as other:
        yield one, other


def test_an_lm_defined_on_one_worker_answers_on_the_other(two: Two) -> None:
    """In every scope that refers to its name, and a redefinition is seen by the next execution."""
    one, other = two
    one.call("define_lm", {"name": "fast", **mock("fast")})
    assert answer(other, "fast") == "fast"

    one.call("configure_lm", {"lm": "fast", "session_id": "alice"})
    told = other.call("define_lm", {"name": "fast", **mock("faster")})

    assert told["status"] == "redefined"
    assert run(one, None, session_id="alice").result["lm"]["model"] == "model-faster"
    assert [lm["name"] for lm in one.call("list_lms")["lms"]] == ["fast"]


def test_a_name_in_use_on_one_worker_stays_on_the_other(two: Two) -> None:
    """Who refers to it is known to both; once nobody does, it is gone from both."""
    one, other = two
    one.call("define_lm", {"name": "fast", **mock("fast")})
    one.call("configure_lm", {"lm": "fast", "session_id": "alice"})

    refused = other.ask("undefine_lm", {"name": "fast"})
    other.call("cleanup_session", {"session_id": "alice"})
    other.call("undefine_lm", {"name": "fast"})

    assert (refused.code, refused.details["used_by"]) == ("lm_in_use", ["session 'alice'"])
    assert one.call("list_lms")["lms"] == []


def test_the_script_of_a_named_lm_has_one_position(two: Two) -> None:
    """Whoever refers to it, on whichever worker, moves it on; redefining it anywhere begins anew."""
    one, other = two
    script = {"name": "scripted", "provider": "mock", "script": ["one", "two", "three"]}
    one.call("define_lm", script)
    heard = [answer(worker, "scripted") for worker in (other, one)]
    other.call("define_lm", script)

    assert [*heard, answer(one, "scripted")] == ["one", "two", "one"]


def test_costs_are_the_sum_of_what_all_workers_spent(pool: BridgePool) -> None:
    """To the last digit, with each worker's share beside it."""
    assert all(response.success for response in at_once(pool, 20))

    costs = pool.call("get_costs")
    calls = pool.call("get_journal")["calls"]
    shares = costs["workers"]

    assert costs["total"]["calls"] == costs["programs"]["p"]["calls"] == len(calls) == 20
    assert Decimal(costs["total"]["cost"]) == sum(Decimal(call["cost"]) for call in calls)
    assert set(shares) == set(pool.processes())
    assert sum(share["calls"] for share in shares.values()) == 20
    assert sum(Decimal(share["cost"]) for share in shares.values()) == Decimal(costs["total"]["cost"])


@pytest.mark.parametrize("holder", [{}, {"program_id": "p"}], ids=["bridge", "program"])
def test_a_budget_of_calls_is_exact_while_both_workers_ask(pool: BridgePool, holder: dict[str, str]) -> None:
    """Of twenty executions seven are let through, and no more calls are in the journal."""
    pool.call("set_budget", {"calls": 7, **holder})

    responses = at_once(pool, 20)

    assert sum(response.success for response in responses) == 7
    assert {response.code for response in responses if not response.success} == {"budget_exceeded"}
    assert len(pool.call("get_journal")["calls"]) == spent(pool.call("get_costs"))["calls"] == 7


def test_a_session_s_budget_follows_it_from_worker_to_worker(two: Two) -> None:
    """And holds nobody else up."""
    one, other = two
    one.call("set_budget", {"session_id": "alice", "calls": 2})

    assert [run(worker, session_id="alice").success for worker in (one, other, one, other)] == [
        True,
        True,
        False,
        False,
    ]
    assert run(other, session_id="bob").success


@pytest.mark.parametrize("limit", ["usd", "tokens"])
def test_money_and_tokens_are_passed_by_less_than_one_call_of_each_worker(pool: BridgePool, limit: str) -> None:
    """What a call comes to is known afterwards, so those under way when the limit is reached are finished."""
    run(pool)
    total = pool.call("get_costs")["total"]
    one_call = Decimal(total["cost"]) if limit == "usd" else total["input_tokens"] + total["output_tokens"]
    allowed = 11 * one_call / 2 if limit == "usd" else 11 * one_call // 2
    pool.call("set_budget", {limit: str(allowed) if limit == "usd" else allowed})

    responses = at_once(pool, 20)

    used = Decimal(spent(pool.call("get_costs"))[limit])
    assert allowed <= used < allowed + 2 * one_call
    assert used == one_call * sum(response.success for response in responses)


def test_what_a_call_under_way_elsewhere_may_come_to_is_reserved(two: Two, tmp_path: Path) -> None:
    """So both workers together stay within a limit that one call alone uses up."""
    one, other = two
    gate = tmp_path / "open"
    one.call("set_budget", {"usd": "0.000001"})

    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(run, one, GATED, str(gate))
        eventually(lambda: spent(other.call("get_costs"))["calls"] == 1, "a call under way")
        beside = run(other)
        gate.touch()
        assert waiting.result().success

    assert beside.code == "budget_exceeded"
    assert "reserved by calls under way" in str(beside.message)
    assert run(other).code == "budget_exceeded"
    calls = other.call("get_journal")["calls"]
    assert [call["model"] for call in calls] == ["gated"]
    assert Decimal(spent(one.call("get_costs"))["usd"]) == sum(Decimal(call["cost"]) for call in calls)


def test_a_call_under_way_elsewhere_is_a_call(two: Two, tmp_path: Path) -> None:
    """A limit of calls counts those that were let through, finished or not."""
    one, other = two
    gate = tmp_path / "open"
    one.call("set_budget", {"calls": 1})

    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(run, one, GATED, str(gate))
        eventually(lambda: spent(other.call("get_costs"))["calls"] == 1, "a call under way")
        refused = run(other)
        gate.touch()
        assert waiting.result().success

    assert refused.code == "budget_exceeded"


def test_a_reset_on_one_worker_ends_names_sums_and_budgets_on_the_other(two: Two) -> None:
    """The next test begins with nothing."""
    one, other = two
    one.call("define_lm", {"name": "fast", **mock("fast")})
    one.call("set_budget", {"calls": 1})
    run(one)

    other.call("reset_state")

    costs = one.call("get_costs")
    assert (costs["total"]["calls"], costs["budgets"]) == (0, [])
    assert one.call("list_lms")["lms"] == []
