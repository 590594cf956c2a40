"""The LM that each scope names answers, and nobody else's."""

from typing import Any

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.interaction.conftest import Connect
from tests.support.bridges import Client

QA = {
    "name": "QA",
    "inputs": [{"name": "question", "type": "string"}],
    "outputs": [{"name": "answer", "type": "string"}],
}
ASK = {"question": "What is the capital of France?"}


def mock(answer: str) -> dict[str, Any]:
    """A config whose answer tells which config it was."""
    return {"provider": "mock", "model": f"model-{answer}", "responses": {"default": answer}}


def create(bridge: Client, program_id: str = "qa", **args: Any) -> str:
    """Create a program and return its id."""
    created: str = bridge.call("create_program", {"id": program_id, "signature": QA, **args})["program_id"]
    return created


def answer(bridge: Client, program_id: str = "qa", **args: Any) -> tuple[str, str]:
    """What an execution answers, and the scope that decided."""
    result = bridge.call("execute_program", {"program_id": program_id, "inputs": ASK, **args})
    return result["outputs"]["answer"], result["lm"]["scope"]


def test_without_any_lm_an_execution_fails_as_dspex_expects(bridge: Client) -> None:
    """Nothing is answered by an LM that nobody asked for."""
    create(bridge)

    response = bridge.ask("execute_program", {"program_id": "qa", "inputs": ASK})

    assert (response.success, response.message, response.code) == (False, "No LM is loaded.", "no_lm_loaded")


def test_each_narrower_scope_takes_over_from_the_wider_ones(connect: Connect) -> None:
    """Default, global, session, program, execution: each decides as soon as it is there."""
    bridge = connect(BridgeSettings(default_lm=mock("default")))
    create(bridge)
    create(bridge, "own", lm_config=mock("program"))

    seen = [answer(bridge)]
    bridge.call("configure_lm", mock("global"))
    seen.append(answer(bridge))
    bridge.call("configure_lm", {**mock("session"), "session_id": "alice"})
    seen.append(answer(bridge, session_id="alice"))
    seen.append(answer(bridge, "own", session_id="alice"))
    seen.append(answer(bridge, "own", session_id="alice", options={"lm_config": mock("execution")}))
    seen.append(answer(bridge, "own"))
    seen.append(answer(bridge))

    assert seen == [
        ("default", "default"),
        ("global", "global"),
        ("session", "session"),
        ("program", "program"),
        ("execution", "execution"),
        ("program", "program"),
        ("global", "global"),
    ]


def test_anonymous_callers_share_the_global_scope(bridge: Client) -> None:
    """`anonymous` is how DSPex's pool spells "no session"."""
    create(bridge)
    bridge.call("configure_lm", {**mock("global"), "session_id": "anonymous"})

    assert answer(bridge) == answer(bridge, session_id="anonymous") == ("global", "global")


def test_a_session_s_lm_answers_nobody_else(bridge: Client) -> None:
    """Two sessions that configure and ask in turn never meet each other's LM."""
    create(bridge)
    for name in ("alice", "bob"):
        bridge.call("configure_lm", {**mock(name), "session_id": name})

    assert [answer(bridge, session_id=name)[0] for name in ("alice", "bob", "alice")] == ["alice", "bob", "alice"]
    assert (
        bridge.ask("execute_program", {"program_id": "qa", "inputs": ASK, "session_id": "carol"}).code == "no_lm_loaded"
    )


@pytest.mark.parametrize(
    "args",
    [
        {"options": {"lm_config": mock("override")}},
        {"lm_config": mock("override")},
        {"options": {"lm": mock("override")}},
        {"lm": mock("override")},
        {"options": {"lm_config": mock("override")}, "lm_config": mock("wider")},
    ],
)
def test_an_execution_may_name_its_lm_in_each_documented_place(bridge: Client, args: dict[str, Any]) -> None:
    """`options.lm_config` comes before `lm_config`, which comes before `lm`."""
    create(bridge)
    bridge.call("configure_lm", mock("global"))

    assert answer(bridge, **args) == ("override", "execution")
    assert answer(bridge) == ("global", "global")


@pytest.mark.parametrize(
    "args", [{"temperature": 0.3}, {"options": {"temperature": 0.3}}, {"lm_config": {"temperature": 0.3}}]
)
def test_an_override_of_parameters_keeps_the_lm(bridge: Client, args: dict[str, Any]) -> None:
    """Who says only a temperature means the LM of the next wider scope."""
    create(bridge)
    bridge.call("configure_lm", {**mock("global"), "temperature": 0.9})

    assert answer(bridge, **args) == ("global", "global")
    resolved = bridge.call("get_lm", {"program_id": "qa", **args})["lm"]
    assert (resolved["params"], resolved["patched_by"]) == ({"temperature": 0.3}, ["execution"])


@pytest.mark.parametrize("options", [None, [], {}, {"timeout": 10000, "max_retries": 2}])
def test_options_may_take_every_form_that_dspex_sends(bridge: Client, options: object) -> None:
    """Absent, the empty keyword list, an empty map, a map about other things."""
    create(bridge)
    bridge.call("configure_lm", mock("global"))

    assert answer(bridge, options=options)[0] == "global"


def test_an_lm_config_may_stand_inside_the_signature(bridge: Client) -> None:
    """DSPex's adapters pass on only the signature in places."""
    bridge.call("create_program", {"id": "qa", "signature": {**QA, "lm_config": mock("inside")}})

    assert answer(bridge) == ("inside", "program")


def test_get_lm_explains_the_whole_resolution(bridge: Client) -> None:
    """Every scope shows what it holds; the deciding one is named."""
    create(bridge, lm_config=mock("program"))
    bridge.call("configure_lm", mock("global"))

    told = bridge.call("get_lm", {"program_id": "qa", "session_id": "alice"})

    assert (told["lm"]["model"], told["lm"]["scope"], told["lm"]["mocked"]) == ("model-program", "program", True)
    assert {scope: held and held["model"] for scope, held in told["scopes"].items()} == {
        "execution": None,
        "program": "model-program",
        "session": None,
        "global": "model-global",
        "default": None,
    }


def test_get_lm_without_any_lm_says_so(bridge: Client) -> None:
    """Asking who would answer is no error where nobody would."""
    assert bridge.call("get_lm")["lm"] is None


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-3.5-turbo"), ("google", "gemini-pro"), ("anthropic", "claude-3"), ("cohere", "command-r")],
)
def test_a_real_provider_is_impersonated_offline(bridge: Client, provider: str, model: str) -> None:
    """Under the policy `mock` a provider's config needs no key, and keeps its name."""
    create(bridge, lm_config={"provider": provider, "model": model})

    result = bridge.call("execute_program", {"program_id": "qa", "inputs": ASK})

    assert result["lm"] == {"provider": provider, "model": model, "scope": "program", "mocked": True}
    assert "answer" in result["outputs"]["answer"]


def test_switching_models_changes_derived_answers_and_switching_back_restores_them(bridge: Client) -> None:
    """Without a table the answer depends on the model, so a switch is seen."""
    create(bridge)
    answers = []
    for model in ("gpt-4", "gpt-3.5-turbo", "gpt-4"):
        bridge.call("configure_lm", {"provider": "openai", "model": model})
        answers.append(answer(bridge)[0])

    assert answers[0] == answers[2] != answers[1]


def test_a_key_appears_in_no_answer(bridge: Client) -> None:
    """Results, errors, the journal and program definitions never hold what was given as a key."""
    key = "sk-planted-secret-1234567890"
    config = {"provider": "openai", "model": "gpt-4", "api_key": key}
    answers = [
        bridge.ask("configure_lm", config),
        bridge.ask("create_program", {"id": "qa", "signature": {**QA, "lm_config": config}, "lm_config": config}),
        bridge.ask("execute_program", {"program_id": "qa", "inputs": ASK, "options": {"lm_config": config}}),
        bridge.ask("execute_program", {"program_id": "qa", "inputs": ASK, "lm_config": {**config, "temperature": "x"}}),
        bridge.ask("configure_lm", {**config, "params": {key: 1}}),
        bridge.ask("get_lm", {"program_id": "qa"}),
        bridge.ask("get_journal"),
        bridge.ask("get_program_info", {"program_id": "qa"}),
        bridge.ask("list_programs"),
    ]

    assert [response for response in answers if key in str(response.to_wire())] == []


def test_a_failing_configure_leaves_the_former_lm(bridge: Client) -> None:
    """An impossible config is refused with a code, and what was there goes on."""
    create(bridge)
    bridge.call("configure_lm", mock("global"))

    refused = bridge.ask("configure_lm", {"provider": "opnai", "model": "gpt-4"})

    assert refused.code == "unknown_provider"
    assert "did you mean 'openai'" in str(refused.message)
    assert answer(bridge) == ("global", "global")


def test_a_default_lm_answers_before_anything_is_configured(connect: Connect) -> None:
    """The scope `default` comes from the bridge's settings, in any shape of a config."""
    bridge = connect(BridgeSettings(default_lm="gemini/gemini-pro"))
    create(bridge)

    result = bridge.call("execute_program", {"program_id": "qa", "inputs": ASK})

    assert result["lm"] == {"provider": "google", "model": "gemini-pro", "scope": "default", "mocked": True}


def test_a_script_moves_on_for_its_own_session_only(bridge: Client) -> None:
    """Positions belong to one assignment: two sessions with equal scripts both begin at the beginning."""
    create(bridge)
    script = {"provider": "mock", "mode": "scripted", "answers": ["one", "two"]}
    for name in ("alice", "bob"):
        bridge.call("configure_lm", {**script, "session_id": name})

    heard = [answer(bridge, session_id=name)[0] for name in ("alice", "alice", "bob")]
    exhausted = bridge.ask("execute_program", {"program_id": "qa", "inputs": ASK, "session_id": "alice"})
    bridge.call("configure_lm", {**script, "session_id": "alice"})

    assert heard == ["one", "two", "one"]
    assert exhausted.code == "script_exhausted"
    assert answer(bridge, session_id="alice")[0] == "one"


def test_a_defined_name_in_the_place_of_a_model_is_explained(bridge: Client) -> None:
    """A name stands under `lm`; under `model` it would be a model that nobody serves."""
    bridge.call("define_lm", {"name": "fast", "provider": "openai", "model": "gpt-4o-mini"})

    response = bridge.ask("configure_lm", {"model": "fast"})

    assert response.code == "invalid_lm_config"
    assert "write {'lm': 'fast'}" in str(response.message)
    assert bridge.call("configure_lm", {"lm": "fast"})["scope"] == "global"
