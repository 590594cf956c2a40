"""Every kind of mock travels in `configure_lm` and answers on the other side."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.bridges import Client
from tests.support.fixture_files import samples

WEATHER = {"question": "What is the weather like?"}


def hear(bridge: Client, config: dict[str, Any] | str, *, times: int = 1, signature: object = None) -> list[str]:
    """Configure an LM and collect what it answers (or the code of its failure)."""
    bridge.call("create_program", {"id": "qa", "signature": signature or "question -> answer"})
    bridge.call("configure_lm", config if isinstance(config, dict) else {"lm": config})
    heard = []
    for _ in range(times):
        response = bridge.ask("execute_program", {"program_id": "qa", "inputs": WEATHER})
        heard.append(response.result["outputs"]["answer"] if response.success else str(response.code))
    return heard


def test_the_journal_names_the_rule_that_answered(bridge: Client) -> None:
    """By its name, with a number where it may answer several times."""
    assert hear(bridge, samples("mock_specs")["rules"]["config"], times=2) == ["sunny", "rainy"]
    assert [call["rule"] for call in bridge.call("get_journal")["calls"]] == ["twice[0]", "twice[1]"]


def test_rules_may_ask_for_program_and_session(bridge: Client) -> None:
    """What only the bridge knows of a call is known to its rules."""
    rules = [
        {"when": {"session": "alice"}, "answer": "for alice"},
        {"when": {"program": "qa", "session": "bob"}, "answer": "for bob"},
    ]
    bridge.call("create_program", {"id": "qa", "signature": "question -> answer"})
    bridge.call("configure_lm", {"provider": "mock", "rules": rules, "responses": {"default": "for others"}})

    answers = [
        bridge.call("execute_program", {"program_id": "qa", "inputs": WEATHER, "session_id": name})["answer"]
        for name in ("alice", "bob", "carol")
    ]

    assert answers == ["for alice", "for bob", "for others"]


def test_random_answers_repeat_for_their_seed(bridge: Client) -> None:
    """The same seed and requests give the same answers, however often the LM is configured anew."""
    config = {"provider": "mock", "mode": "random", "seed": 7}
    first = hear(bridge, config, times=3)
    bridge.call("reset_state")

    assert hear(bridge, config, times=3) == first
    bridge.call("reset_state")
    assert hear(bridge, {**config, "seed": 8}, times=3) != first


def test_a_fault_strikes_the_calls_it_names(bridge: Client) -> None:
    """A rate limit reaches the program as DSPy's own error, and the bridge as a failed execution."""
    config = {"provider": "mock", "responses": {"default": "fine"}, "faults": [{"kind": "rate_limit", "calls": [2]}]}

    assert hear(bridge, config, times=3) == ["fine", "program_execution_failed", "fine"]
    failed = bridge.call("get_journal")["calls"][1]
    assert failed["fault"] == "rate_limit"


def test_templates_and_raw_completions_travel(bridge: Client) -> None:
    """Forms of an answer beyond plain values."""
    template = {"provider": "mock", "responses": {"default": {"$template": "You asked: {question}"}}}

    assert hear(bridge, template) == [f"You asked: {WEATHER['question']}"]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"provider": "mock", "mode": "scripted"}, "at least one answer"),
        ({"provider": "mock", "mode": "scriptd"}, "mode"),
        ({"provider": "mock", "rules": [{"when": {"inptus": {}}, "answer": 1}]}, "inptus"),
        ({"provider": "mock", "rules": [{"answer": "a"}, {"answer": "b"}]}, "rules"),
        ({"provider": "mock", "mock": {"respones": {}}}, "responses"),
        ({"provider": "mock", "seed": 1.5}, "seed"),
        ({"provider": "mock", "faults": [{"kind": "rate_limitt"}]}, "rate_limit"),
    ],
)
def test_an_unusable_spec_is_refused_when_it_is_configured(bridge: Client, config: dict[str, Any], text: str) -> None:
    """The error names the key, and the bridge keeps what it had."""
    response = bridge.ask("configure_lm", config)

    assert not response.success
    assert response.code in ("invalid_mock_spec", "invalid_lm_config", "ambiguous_rules")
    assert text in str(response.message)
    assert bridge.call("get_lm")["lm"] is None


def test_a_function_is_imported_only_where_that_is_allowed(bridge: Client) -> None:
    """Import paths come from clients, so they are refused unless a prefix was allowed at the start."""
    heard = hear(bridge, {"provider": "mock", "mode": "function", "function": "os:getcwd"})

    assert heard != []
    assert heard[0] not in ("", str(Path.cwd()))
