"""Remembered answers, by LM, by scope and by the bridge's setting."""

from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.interaction.conftest import Connect
from tests.support.bridges import Client

SCRIPT = {"provider": "mock", "model": "scripted", "script": ["one", "two", "three"]}


@pytest.fixture
def bridge(connect: Connect, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A bridge with one program, whose disk cache is these tests' own."""
    client: Client = connect(BridgeSettings(cache_dir=_folder(tmp_path_factory)))
    client.call("clear_cache", {"mode": "disk"})
    client.call("clear_cache", {"mode": "memory"})
    client.call("create_program", {"id": "p", "signature": "question -> answer"})
    return client


def _folder(factory: pytest.TempPathFactory) -> str:
    return str(Path(factory.getbasetemp()) / "answers")


def answer(bridge: Client, question: str = "?", **args: Any) -> str:
    """What the program answers."""
    result = bridge.call("execute_program", {"program_id": "p", "inputs": {"question": question}, **args})
    heard: str = result["outputs"]["answer"]
    return heard


def test_nothing_is_remembered_unless_it_is_asked_for(bridge: Client) -> None:
    """The same question twice moves a script twice."""
    bridge.call("configure_lm", SCRIPT)

    assert [answer(bridge), answer(bridge)] == ["one", "two"]
    assert bridge.call("get_cache_stats")["default"] == "off"


@pytest.mark.parametrize("cache", ["memory", "disk", {"mode": "disk", "ttl_s": 60}, True])
def test_a_remembered_answer_asks_nobody(bridge: Client, cache: Any) -> None:
    """The journal marks the hit, with no cost and the usage of the call that was remembered."""
    bridge.call("configure_lm", {**SCRIPT, "cache": cache})

    assert [answer(bridge), answer(bridge), answer(bridge, "another?")] == ["one", "one", "two"]
    asked, hit, _ = bridge.call("get_journal")["calls"]
    assert (asked["cache_hit"], hit["cache_hit"]) == (False, True)
    assert (hit["usage"], hit["cost"], hit["outputs"]) == (asked["usage"], "0", {"answer": "one"})
    assert (hit["provider"], hit["model"], hit["signature"]) == (asked["provider"], asked["model"], asked["signature"])


def test_a_scope_may_be_remembered_by_itself(bridge: Client) -> None:
    """`cache` without a model is laid over the LM of the next wider scope."""
    bridge.call("configure_lm", SCRIPT)
    cached: dict[str, Any] = {"lm_config": {"cache": "memory"}}

    assert [answer(bridge, **cached), answer(bridge, **cached), answer(bridge)] == ["one", "one", "two"]


def test_different_parameters_are_different_questions(bridge: Client) -> None:
    """A temperature over the LM asks anew."""
    bridge.call("configure_lm", {**SCRIPT, "cache": "memory"})

    assert [answer(bridge), answer(bridge, temperature=0.3), answer(bridge)] == ["one", "two", "one"]


def test_failures_are_not_remembered(bridge: Client) -> None:
    """Who failed is asked again."""
    faulty = {"provider": "mock", "responses": {"default": "x"}, "faults": [{"kind": "server_error", "calls": [1]}]}
    bridge.call("configure_lm", {**faulty, "cache": "memory"})

    first = bridge.ask("execute_program", {"program_id": "p", "inputs": {"question": "?"}})
    assert (first.success, answer(bridge), answer(bridge)) == (False, "x", "x")


@pytest.mark.parametrize("kind", ["truncated", "malformed", "empty", "missing_field", "content_filter", "refusal"])
def test_a_spoilt_answer_is_not_remembered(bridge: Client, kind: str) -> None:
    """On disk it would be there for thirty days."""
    faulty = {"provider": "mock", "responses": {"default": "x"}, "faults": [{"kind": kind, "calls": [1, 2]}]}
    bridge.call("configure_lm", {**faulty, "cache": "disk"})

    for _ in range(5):
        bridge.ask("execute_program", {"program_id": "p", "inputs": {"question": kind}})
    calls = bridge.call("get_journal")["calls"]
    hits = [call for call in calls if call["cache_hit"]]
    assert sum(call["fault"] == kind for call in calls) == 2
    assert hits
    assert all("x" in hit["completion"] and hit["finish_reason"] == "stop" for hit in hits)


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_each_of_several_answers_is_remembered_by_itself(bridge: Client, cache: str) -> None:
    """`n` asks for different ones."""
    bridge.call("configure_lm", {**SCRIPT, "cache": cache, "params": {"n": 3}})
    for _ in range(2):
        answer(bridge, f"several, {cache}")
    calls = bridge.call("get_journal")["calls"]
    assert [call["outputs"]["answer"] for call in calls] == ["one", "two", "three"] * 2
    assert [call["cache_hit"] for call in calls] == [False] * 3 + [True] * 3


def test_an_ensemble_may_be_remembered(bridge: Client) -> None:
    """As one answer, with what its members used together."""
    ensemble = {"kind": "ensemble", "strategy": "majority", "members": [SCRIPT, SCRIPT, SCRIPT], "cache": "memory"}
    bridge.call("configure_lm", ensemble)

    assert [answer(bridge), answer(bridge)] == ["one", "one"]
    *_, asked, hit = bridge.call("get_journal")["calls"]
    assert (asked["engine"], hit["cache_hit"]) == ("ensemble", True)
    assert hit["usage"]["input_tokens"] == asked["usage"]["input_tokens"]


def test_a_bridge_may_remember_by_default(connect: Connect) -> None:
    """Unless a config says that it is not to."""
    bridge = connect(BridgeSettings(response_cache="memory"))
    bridge.call("create_program", {"id": "p", "signature": "question -> answer"})
    bridge.call("configure_lm", SCRIPT)
    bridge.call("configure_lm", {**SCRIPT, "cache": "off", "session_id": "alice"})

    assert [answer(bridge), answer(bridge)] == ["one", "one"]
    assert [answer(bridge, session_id="alice"), answer(bridge, session_id="alice")] == ["one", "two"]
    told = bridge.call("get_cache_stats")
    assert (told["default"], told["memory"]["hits"]) == ("memory", 1)


def test_clearing_forgets(bridge: Client) -> None:
    """All answers, or those of one place."""
    bridge.call("configure_lm", {**SCRIPT, "cache": "memory"})
    first = answer(bridge)
    untouched = bridge.call("clear_cache", {"mode": "disk"})
    again = answer(bridge)
    cleared = bridge.call("clear_cache")

    assert (first, again, answer(bridge)) == ("one", "one", "two")
    assert (untouched["entries_cleared"], cleared["entries_cleared"]) == (0, 1)


def test_resetting_forgets_what_is_in_memory(bridge: Client) -> None:
    """A reset bridge asks anew."""
    bridge.call("configure_lm", {**SCRIPT, "cache": "memory"})
    answer(bridge)
    bridge.call("reset_state")

    assert bridge.call("get_cache_stats").get("memory", {}).get("entries", 0) == 0


@pytest.mark.parametrize(
    ("cache", "hint"),
    [
        ("ram", "one of off, memory, disk"),
        ({"mode": "memory", "ttl": 5}, "known ones are mode, ttl_s"),
        ({"mode": "memory", "ttl_s": 0}, "above 0"),
        (3, "off, memory, disk or a map"),
    ],
)
def test_an_impossible_cache_is_explained(bridge: Client, cache: Any, hint: str) -> None:
    """The error says what is possible."""
    response = bridge.ask("configure_lm", {**SCRIPT, "cache": cache})
    assert response.code == "invalid_lm_config"
    assert hint in str(response.message)


def test_a_place_that_does_not_exist_is_explained(bridge: Client) -> None:
    """`clear_cache` knows memory and disk."""
    assert bridge.ask("clear_cache", {"mode": "ram"}).code == "invalid_args"
