"""What LM calls cost, and what they may."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.interaction.conftest import Connect
from tests.support.bridges import Client, Transport

PRICED = {"provider": "mock", "model": "priced", "responses": {"default": "x"}, "prices": {"input": 10, "output": 20}}
UNPRICED = {"provider": "mock", "model": "unpriced", "responses": {"default": "x"}}


@pytest.fixture
def bridge(connect: Connect) -> Client:
    """A bridge with one program."""
    client: Client = connect()
    client.call("create_program", {"id": "p", "signature": "question -> answer"})
    return client


def run(bridge: Client, lm: Any = PRICED, **args: Any) -> Any:
    """One execution's response."""
    return bridge.ask("execute_program", {"program_id": "p", "inputs": {"question": "?"}, "lm_config": lm, **args})


def test_costs_are_summed_by_lm_provider_program_session_and_worker(bridge: Client, transport: Transport) -> None:
    """Every sum is exact, and the parts add up to the whole."""
    run(bridge)
    run(bridge, session_id="alice")
    run(bridge, {"provider": "openai", "model": "gpt-4o-mini", "mock": {"responses": {"default": "x"}}})

    costs = bridge.call("get_costs")
    calls = bridge.call("get_journal")["calls"]

    assert costs["total"]["calls"] == 3
    assert Decimal(costs["total"]["cost"]) == sum(Decimal(call["cost"]) for call in calls)
    assert set(costs["lms"]) == {"mock/priced", "openai/gpt-4o-mini"}
    assert set(costs["providers"]) == {"mock", "openai"}
    assert costs["programs"]["p"]["calls"] == 3
    assert costs["sessions"]["alice"]["calls"] == 1
    assert set(costs["workers"]) == ({"worker_1_1"} if transport == "pool-worker" else set())
    assert costs["lms"]["mock/priced"]["input_tokens"] == sum(c["usage"]["input_tokens"] for c in calls[:2])
    assert bridge.call("get_costs", {"session_id": "alice"})["total"] == costs["sessions"]["alice"]
    assert bridge.call("get_costs", {"program_id": "p"})["total"] == costs["programs"]["p"]
    assert bridge.call("get_costs", {"session_id": "nobody"})["total"]["calls"] == 0


def test_an_unknown_price_is_unknown(bridge: Client) -> None:
    """Never 0; beside known ones it is counted apart."""
    run(bridge, UNPRICED)
    alone = bridge.call("get_costs")["total"]
    run(bridge)
    both = bridge.call("get_costs")["total"]

    assert (alone["cost"], alone["unpriced_calls"]) == (None, 1)
    assert Decimal(both["cost"]) > 0
    assert both["unpriced_calls"] == 1


def test_failed_calls_are_counted_as_calls(bridge: Client) -> None:
    """A refused request costs nothing at a provider, and the count tells of it."""
    run(bridge, {"provider": "mock", "faults": ["rate_limit"]})

    total = bridge.call("get_costs")["total"]
    assert (total["calls"], total["failed_calls"], total["cost"], total["unpriced_calls"]) == (1, 1, "0", 0)


def test_an_ensemble_costs_what_its_members_do(bridge: Client) -> None:
    """Its own call is not counted once more."""
    run(bridge, {"kind": "ensemble", "strategy": "majority", "members": [PRICED, PRICED]})

    costs = bridge.call("get_costs")
    assert costs["total"]["calls"] == 2
    assert costs["total"]["cost"] == bridge.call("get_journal")["calls"][-1]["cost"]
    assert "ensemble" not in costs["providers"]


def test_a_remembered_answer_costs_nothing(bridge: Client) -> None:
    """Hits are counted apart."""
    for _ in range(3):
        run(bridge, {**PRICED, "cache": "memory"})

    total = bridge.call("get_costs")["total"]
    assert (total["calls"], total["cache_hits"]) == (1, 2)


def test_prices_may_come_from_a_file(connect: Connect, tmp_path: Path) -> None:
    """The user's own table comes before every other."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"openai/house-model": {"input": 1, "output": 2}}), encoding="utf-8")
    bridge = connect(BridgeSettings(price_table=str(file)))
    bridge.call("create_program", {"id": "p", "signature": "question -> answer"})
    run(bridge, {"provider": "openai", "model": "house-model", "mock": {"responses": {"default": "x"}}})

    call = bridge.call("get_journal")["calls"][0]
    usage = call["usage"]
    assert Decimal(call["cost"]) * 1_000_000 == usage["input_tokens"] + 2 * usage["output_tokens"]


@pytest.mark.parametrize(
    "holder", [{}, {"session_id": "alice"}, {"program_id": "p"}], ids=["bridge", "session", "program"]
)
def test_a_budget_of_calls_refuses_the_next_one(bridge: Client, holder: dict[str, str]) -> None:
    """Before anything is sent, with a code of its own; whoever has no budget goes on."""
    told = bridge.call("set_budget", {**holder, "calls": 2})
    answers = [run(bridge, session_id="alice") for _ in range(3)]

    assert told["status"] == "set"
    assert [answer.success for answer in answers] == [True, True, False]
    assert answers[2].code == "budget_exceeded"
    assert "2 of 2 calls" in str(answers[2].message)
    assert len(bridge.call("get_journal")["calls"]) == 2
    assert run(bridge, session_id="bob").success == (holder == {"session_id": "alice"})


@pytest.mark.parametrize("limit", [{"usd": "0.0001"}, {"usd": 0.0001}, {"tokens": 10}])
def test_a_budget_of_money_or_tokens_ends_when_it_is_reached(bridge: Client, limit: dict[str, Any]) -> None:
    """The call that reaches it is let through, the next one is not."""
    bridge.call("set_budget", limit)

    assert run(bridge).success
    refused = run(bridge)
    assert refused.code == "budget_exceeded"
    assert refused.details["exceeded"] is True


def test_a_budget_of_nothing_refuses_everything(bridge: Client) -> None:
    """Zero is a limit."""
    bridge.call("set_budget", {"usd": 0})
    assert run(bridge).code == "budget_exceeded"
    assert bridge.call("get_journal")["calls"] == []


def test_a_budget_counts_from_when_it_is_set(bridge: Client) -> None:
    """Setting it again begins anew; without limits it ends."""
    run(bridge)
    bridge.call("set_budget", {"calls": 1})
    first, second = run(bridge), run(bridge)
    bridge.call("set_budget", {"calls": 1})
    third = run(bridge)
    removed = bridge.call("set_budget", {})

    assert [first.success, second.success, third.success] == [True, False, True]
    assert removed == {"status": "removed", "budget": None}
    assert run(bridge).success


def test_budgets_are_listed_with_what_is_spent(bridge: Client) -> None:
    """Beside the costs."""
    bridge.call("set_budget", {"session_id": "alice", "usd": "1.50", "calls": 10})
    run(bridge, session_id="alice")

    (budget,) = bridge.call("get_costs")["budgets"]
    assert (budget["scope"], budget["session_id"]) == ("session", "alice")
    assert budget["limits"] == {"usd": "1.50", "tokens": None, "calls": 10}
    assert (budget["spent"]["calls"], budget["exceeded"]) == (1, False)
    assert budget["spent"]["usd"] == bridge.call("get_costs")["sessions"]["alice"]["cost"]


def test_members_of_an_ensemble_are_refused_one_by_one(bridge: Client) -> None:
    """The budget's error is the ensemble's, not a failure that a chain moves on from."""
    bridge.call("set_budget", {"calls": 1})
    chain = {"kind": "ensemble", "strategy": "first_success", "members": [PRICED, PRICED], "on_errors": ["any"]}
    assert run(bridge, chain).success
    assert run(bridge, chain).code == "budget_exceeded"


def test_a_remembered_answer_needs_no_budget(bridge: Client) -> None:
    """Nothing is sent."""
    cached = {**PRICED, "cache": "memory"}
    run(bridge, cached)
    bridge.call("set_budget", {"calls": 0})
    assert run(bridge, cached).success


def test_a_session_s_budget_and_costs_go_with_it(bridge: Client) -> None:
    """What it cost stays in the other sums."""
    bridge.call("set_budget", {"session_id": "alice", "calls": 1})
    run(bridge, session_id="alice")
    bridge.call("cleanup_session", {"session_id": "alice"})

    costs = bridge.call("get_costs")
    assert (costs["sessions"], costs["budgets"], costs["total"]["calls"]) == ({}, [], 1)
    bridge.call("reset_state")
    assert bridge.call("get_costs")["total"]["calls"] == 0


@pytest.mark.parametrize(
    "args",
    [
        {"usd": -1},
        {"usd": "much"},
        {"usd": "NaN"},
        {"usd": True},
        {"usd": [1]},
        {"calls": -1},
        {"tokens": 1.5},
        {"calls": 1, "session_id": "a", "program_id": "p"},
    ],
)
def test_an_impossible_budget_is_explained(bridge: Client, args: dict[str, Any]) -> None:
    """The error says what an amount is, and that a budget has one holder."""
    assert bridge.ask("set_budget", args).code == "invalid_args"


def test_costs_are_of_a_session_or_a_program(bridge: Client) -> None:
    """Not of both."""
    assert bridge.ask("get_costs", {"session_id": "a", "program_id": "p"}).code == "invalid_args"
