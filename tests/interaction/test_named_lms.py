"""LMs under names: defined once, referred to from every scope, looked up when a request arrives."""

from typing import Any

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.interaction.conftest import Connect
from tests.support.bridges import Client

ASK = {"question": "Who?"}


def mock(answer: str) -> dict[str, Any]:
    """A config whose answer tells which config it was."""
    return {"provider": "mock", "model": f"model-{answer}", "responses": {"default": answer}}


def answer(bridge: Client, **args: Any) -> str:
    """What the program answers."""
    heard: str = bridge.call("execute_program", {"program_id": "p", "inputs": ASK, **args})["outputs"]["answer"]
    return heard


@pytest.fixture
def bridge(connect: Connect) -> Client:
    """A bridge with one program and one named LM."""
    client: Client = connect(BridgeSettings(default_lm=mock("default")))
    client.call("create_program", {"id": "p", "signature": "question -> answer"})
    client.call("define_lm", {"name": "fast", **mock("fast")})
    return client


@pytest.mark.parametrize("spelling", [{"lm": "fast"}, "fast", {"lm": {"lm": "fast"}}])
def test_a_name_answers_in_every_scope(bridge: Client, spelling: Any) -> None:
    """As an execution's LM, a program's, a session's, the bridge's."""
    assert answer(bridge, lm_config=spelling) == "fast"
    bridge.call("create_program", {"id": "own", "signature": "question -> answer", "lm_config": spelling})
    assert bridge.call("execute_program", {"program_id": "own", "inputs": ASK})["lm"]["scope"] == "program"
    bridge.call("configure_lm", {"lm": "fast", "session_id": "alice"})
    assert answer(bridge, session_id="alice") == "fast"
    bridge.call("configure_lm", {"lm": "fast"})
    assert answer(bridge) == "fast"


def test_a_redefinition_is_seen_by_later_executions(bridge: Client) -> None:
    """The scope holds the name, not what it stood for."""
    bridge.call("configure_lm", {"lm": "fast"})
    first = answer(bridge)
    told = bridge.call("define_lm", {"name": "fast", **mock("faster")})

    assert (first, told["status"], answer(bridge)) == ("fast", "redefined", "faster")


def test_parameters_beside_a_name_are_laid_over_it(bridge: Client) -> None:
    """Who refers to an LM may ask it differently."""
    resolved = bridge.call("get_lm", {"lm_config": {"lm": "fast", "temperature": 0.2}})

    assert (resolved["lm"]["name"], resolved["lm"]["params"]) == ("fast", {"temperature": 0.2})
    assert resolved["scopes"]["execution"]["stands_for"]["model"] == "model-fast"


def test_whoever_refers_to_a_script_moves_the_same_position(bridge: Client) -> None:
    """A named LM is one LM; redefining it begins anew."""
    script = {"name": "scripted", "provider": "mock", "script": ["one", "two"]}
    bridge.call("define_lm", script)
    heard = [answer(bridge, lm="scripted"), answer(bridge, lm_config="scripted")]
    bridge.call("define_lm", script)

    assert [*heard, answer(bridge, lm="scripted")] == ["one", "two", "one"]


@pytest.mark.parametrize("name", ["openai", "gemini", "mock", "ensemble", "open/ai", " fast", "a\nb", "x" * 200])
def test_a_name_is_never_a_provider_or_a_model(bridge: Client, name: str) -> None:
    """`provider/model` keeps its meaning whatever is defined."""
    assert bridge.ask("define_lm", {"name": name, **mock("x")}).code == "invalid_lm_config"


@pytest.mark.parametrize(("command", "code"), [("define_lm", "invalid_args"), ("undefine_lm", "invalid_args")])
def test_a_name_is_needed(bridge: Client, command: str, code: str) -> None:
    """The error says what to write."""
    response = bridge.ask(command, mock("x"))
    assert response.code == code
    assert "'name'" in str(response.message)


def test_a_definition_needs_a_whole_lm(bridge: Client) -> None:
    """Parameters alone name nothing."""
    assert bridge.ask("define_lm", {"name": "cold", "temperature": 0}).code == "invalid_lm_config"


def test_names_that_lead_back_to_themselves_are_refused(bridge: Client) -> None:
    """The path is named, and the former definition stays."""
    bridge.call("define_lm", {"name": "middle", "lm": "fast"})
    bridge.call("define_lm", {"name": "slow", "kind": "ensemble", "strategy": "first_success", "members": ["middle"]})

    response = bridge.ask("define_lm", {"name": "fast", "lm": "slow"})

    assert response.code == "lm_cycle"
    assert "fast → slow → middle → fast" in str(response.message)
    assert answer(bridge, lm="fast") == "fast"


def test_a_name_in_use_stays(bridge: Client) -> None:
    """The error says who refers to it; when they have gone, it goes."""
    bridge.call("configure_lm", {"lm": "fast", "session_id": "alice"})
    bridge.call("define_lm", {"name": "alias", "lm": "fast"})

    refused = bridge.ask("undefine_lm", {"name": "fast"})
    assert refused.code == "lm_in_use"
    assert refused.details["used_by"] == ["session 'alice'", "the named LM 'alias'"]
    assert bridge.call("list_lms")["lms"][0]["used_by"] == refused.details["used_by"]

    bridge.call("cleanup_session", {"session_id": "alice"})
    bridge.call("undefine_lm", {"name": "alias"})
    bridge.call("undefine_lm", {"name": "fast"})
    assert bridge.call("list_lms") == {"lms": [], "total_count": 0}


def test_an_unknown_name_is_explained(bridge: Client) -> None:
    """The nearest name is proposed."""
    response = bridge.ask("undefine_lm", {"name": "fsat"})
    assert response.code == "unknown_lm"
    assert "did you mean 'fast'" in str(response.message)
    assert "did you mean 'fast'" in str(bridge.ask("get_lm", {"lm": "fas"}).message)


def test_a_key_cannot_stand_beside_a_name(bridge: Client) -> None:
    """The named LM has its own."""
    response = bridge.ask("configure_lm", {"lm": "fast", "provider": "openai", "api_key": "sk-secret-0123456789"})

    assert response.code == "invalid_lm_config"
    assert "sk-secret" not in str(response.to_wire())


def test_every_change_of_who_answers_is_in_the_journal(bridge: Client) -> None:
    """What was given to which scope or name, and what it took the place of; never a key."""
    bridge.call("clear_journal")
    bridge.call("configure_lm", {"provider": "openai", "model": "gpt-4", "api_key": "sk-secret-0123456789"})
    bridge.call("configure_lm", {**mock("alice"), "session_id": "alice"})
    answer(bridge)
    bridge.call("configure_lm", {"lm": "fast"})
    bridge.call("define_lm", {"name": "fast", **mock("faster")})

    journal = bridge.call("get_journal")
    changes = journal["changes"]

    assert [(c["kind"], c["scope"], c["name"], c["session_id"]) for c in changes] == [
        ("configured", "global", None, None),
        ("configured", "session", None, "alice"),
        ("configured", "global", None, None),
        ("defined", None, "fast", None),
    ]
    assert [c["replaced"] and c["replaced"]["model"] for c in changes] == [None, None, "gpt-4", "model-fast"]
    assert changes[2]["replaced_lm_id"] == changes[0]["lm_id"] == journal["calls"][0]["lm_id"]
    assert [c["seq"] for c in changes[:2]] < [journal["calls"][0]["seq"]] < [c["seq"] for c in changes[2:]]
    assert journal["last_seq"] == changes[-1]["seq"]
    assert "sk-secret" not in str(journal)
    assert [c["session_id"] for c in bridge.call("get_journal", {"session_id": "alice"})["changes"]] == ["alice"]


def test_resetting_forgets_names(bridge: Client) -> None:
    """A reset bridge knows no LM but its default."""
    bridge.call("reset_state")
    assert bridge.call("list_lms")["total_count"] == 0
