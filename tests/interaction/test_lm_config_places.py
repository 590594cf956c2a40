"""An LM config means the same in every shape and in every place, and nothing of it is lost in silence."""

from collections.abc import Callable
from typing import Any

import pytest

from dspex_testkit.bridge import BridgeSettings
from dspex_testkit.lm.policy import OfflinePolicy
from tests.interaction.conftest import Connect
from tests.support.bridges import Client

QA = {"name": "QA", "inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]}
ASK = {"program_id": "qa", "inputs": {"question": "Where?"}}
KEY = "sk-planted-secret-1234567890"
ANSWERS = {"default": "the one"}
FLAT = {"provider": "openai", "model": "gpt-4o", "api_key": KEY, "temperature": 0.3, "responses": ANSWERS}

SHAPES: dict[str, Any] = {
    "flat": FLAT,
    "nested": {"lm": FLAT},
    "half nested": {"lm": {"provider": "openai", "model": "gpt-4o"}, **FLAT},
    "model string": {"lm": "openai/gpt-4o", "temperature": 0.3, "responses": ANSWERS},
    "model string, nested": {"lm": {"lm": "openai/gpt-4o", "temperature": 0.3, "responses": ANSWERS}},
    "prefixed": {"model": "openai/gpt-4o", "temperature": 0.3, "responses": ANSWERS},
    "bare": {"model": "gpt-4o", "temperature": 0.3, "responses": ANSWERS},
    "type": {"type": "openai", "model": "gpt-4o", "temperature": 0.3, "responses": ANSWERS},
    "params and mock": {"model": "openai/gpt-4o", "params": {"temperature": 0.3}, "mock": {"responses": ANSWERS}},
    "said twice alike": {"lm": FLAT, **FLAT, "params": {"temperature": 0.3}, "mock": {"responses": ANSWERS}},
    "named": {"lm": "the-one"},
    "named, nested": {"lm": {"lm": "the-one"}},
    "name alone": "the-one",
}

Place = Callable[[Client, Any], dict[str, Any]]
"""Gives a bridge an LM config in one place, and returns what the execution says beside."""


def as_arguments(config: Any) -> dict[str, Any]:
    """A config as the arguments of `configure_lm`, which are a map."""
    return {"lm": config} if isinstance(config, str) else config


def globally(bridge: Client, config: Any) -> dict[str, Any]:
    """By `configure_lm` for the whole bridge."""
    bridge.call("configure_lm", as_arguments(config))
    bridge.call("create_program", {"id": "qa", "signature": QA})
    return {}


def in_session(bridge: Client, config: Any) -> dict[str, Any]:
    """By `configure_lm` for a session."""
    bridge.call("create_program", {"id": "qa", "signature": QA})
    bridge.call("configure_lm", {**as_arguments(config), "session_id": "alice"})
    return {"session_id": "alice"}


def beside_signature(bridge: Client, config: Any) -> dict[str, Any]:
    """As `lm_config` of `create_program`."""
    bridge.call("create_program", {"id": "qa", "signature": QA, "lm_config": config})
    return {}


def in_signature(bridge: Client, config: Any) -> dict[str, Any]:
    """As `lm_config` inside the signature."""
    bridge.call("create_program", {"id": "qa", "signature": {**QA, "lm_config": config}})
    return {}


def of_execution(make: Callable[[Any], dict[str, Any]]) -> Place:
    """In an argument of the execution."""

    def place(bridge: Client, config: Any) -> dict[str, Any]:
        bridge.call("create_program", {"id": "qa", "signature": QA})
        return make(config)

    return place


PLACES: dict[str, Place] = {
    "configure_lm": globally,
    "configure_lm of a session": in_session,
    "create_program": beside_signature,
    "within the signature": in_signature,
    "lm_config": of_execution(lambda config: {"lm_config": config}),
    "options.lm_config": of_execution(lambda config: {"options": {"lm_config": config}}),
    "lm": of_execution(lambda config: {"lm": config}),
    "options.lm": of_execution(lambda config: {"options": {"lm": config}}),
    "lm with its key beside": of_execution(
        lambda config: {"lm": config} if "the-one" in str(config) else {"lm": config, "api_key": KEY}
    ),
}


@pytest.fixture
def bridge(connect: Connect) -> Client:
    """A bridge whose wider scopes would answer if a config were lost, and that knows a named LM."""
    bridge = connect(BridgeSettings(default_lm={"provider": "mock", "responses": {"default": "somebody else"}}))
    bridge.call("define_lm", {**FLAT, "name": "the-one"})
    return bridge


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_means_the_same_lm_in_every_place(bridge: Client, shape: str, place: str) -> None:
    """Model, parameters and answers come out alike, whichever scope was told and however."""
    said = PLACES[place](bridge, SHAPES[shape])

    result = bridge.call("execute_program", {**ASK, **said})
    held = bridge.call("get_lm", {"program_id": "qa", **said})["lm"]

    assert (result["answer"], result["lm"]["provider"], result["lm"]["model"]) == ("the one", "openai", "gpt-4o")
    assert (held["provider"], held["model"], held["params"]) == ("openai", "gpt-4o", {"temperature": 0.3})
    assert "warnings" not in result


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "named" not in shape and shape != "name alone"])
def test_the_default_lm_is_read_in_every_shape(connect: Connect, shape: str) -> None:
    """The setting is a config like any other."""
    bridge = connect(BridgeSettings(default_lm=SHAPES[shape]))
    bridge.call("create_program", {"id": "qa", "signature": QA})

    assert bridge.call("execute_program", ASK)["answer"] == "the one"


@pytest.mark.parametrize("place", [place for place in PLACES if not place.startswith(("lm", "options.lm"))])
def test_one_level_too_deep_is_an_error_where_scopes_are_configured(bridge: Client, place: str) -> None:
    """It would otherwise be dropped, and a wider scope would answer."""
    with pytest.raises(Exception, match="one 'lm' too deep"):
        PLACES[place](bridge, {"lm": {"lm": FLAT}})


@pytest.mark.parametrize("place", [place for place in PLACES if place.startswith(("lm", "options.lm"))])
def test_one_level_too_deep_is_an_error_where_an_execution_says_it(bridge: Client, place: str) -> None:
    """Nobody else answers in its place, and the next request works."""
    said = PLACES[place](bridge, {"lm": {"lm": FLAT}})

    response = bridge.ask("execute_program", {**ASK, **said})

    assert (response.code, "one 'lm' too deep" in (response.message or "")) == ("invalid_lm_config", True)
    assert bridge.call("execute_program", ASK)["answer"] == "somebody else"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("config", "wrapper"),
    [
        ({"lm_config": FLAT}, "lm_config"),
        ({"lm_config": "openai/gpt-4o"}, "lm_config"),
        ({"lm": {"lm_config": FLAT}}, "lm_config"),
        ({"options": {"lm": FLAT}}, "options"),
        ({"options": {"lm_config": FLAT}}, "options"),
    ],
)
def test_a_config_within_a_place_of_its_own_is_an_error(
    bridge: Client, config: dict[str, Any], wrapper: str, place: str
) -> None:
    """It would otherwise be dropped with a warning, and a wider scope would answer."""
    told = ""
    try:
        said = PLACES[place](bridge, config)
    except Exception as error:
        told = str(error)
    else:
        response = bridge.ask("execute_program", {**ASK, **said})
        assert response.code == "invalid_lm_config"
        told = response.message or ""

    assert f"one {wrapper!r} too deep" in told
    bridge.call("create_program", {"id": "another", "signature": QA})
    assert bridge.call("execute_program", {**ASK, "program_id": "another"})["answer"] == "somebody else"


@pytest.mark.parametrize("command", ["execute_program", "get_lm"])
@pytest.mark.parametrize("inner", [{"lm": FLAT}, {"lm_config": FLAT}, {"timeout_ms": 5}])
def test_options_within_options_are_an_error(bridge: Client, inner: dict[str, Any], command: str) -> None:
    """Nothing of them would be read."""
    bridge.call("create_program", {"id": "qa", "signature": QA})

    response = bridge.ask(command, {**ASK, "options": {"options": inner}})

    assert (response.code, "one 'options' too deep" in (response.message or "")) == ("invalid_lm_config", True)


CONTRADICTIONS: dict[str, Any] = {
    "provider and prefix": {"provider": "anthropic", "model": "openai/gpt-4o"},
    "a mock with a provider's model": {"provider": "mock", "model": "openai/gpt-4o"},
    "provider and type": {"provider": "openai", "type": "anthropic", "model": "gpt-4o"},
    "model and lm": {"lm": "openai/gpt-4o", "model": "gpt-4o-mini"},
    "outer and inner": {"lm": {"model": "gpt-4o", "temperature": 0.1}, "temperature": 0.9},
    "outer and inner key": {"lm": {"model": "gpt-4o", "api_key": KEY}, "api_key": "sk-another-secret-123456"},
    "params and top level": {"model": "gpt-4o", "temperature": 0.1, "params": {"temperature": 0.9}},
    "mock and top level": {"provider": "mock", "responses": {"a": "b"}, "mock": {"responses": {"a": "c"}}},
    "a mock's seed": {"provider": "mock", "mode": "random", "seed": 1, "mock": {"seed": 2}},
    "two addresses": {"model": "gpt-4o", "api_base": "http://localhost:1/v1", "base_url": "http://localhost:2/v1"},
    "ensemble with a provider": {"kind": "ensemble", "provider": "openai", "strategy": "all", "members": ["mock"]},
    "members without an ensemble": {"strategy": "all", "members": ["mock"]},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_config_that_contradicts_itself_is_an_error_everywhere(bridge: Client, case: str, place: str) -> None:
    """No half of it is believed in silence; a key is not quoted."""
    told: list[str] = []
    try:
        said = PLACES[place](bridge, CONTRADICTIONS[case])
    except Exception as error:
        told.append(str(error))
    else:
        response = bridge.ask("execute_program", {**ASK, **said})
        assert response.code == "invalid_lm_config"
        told.append(response.message or "")

    assert ("contradicts itself" in told[0]) or ("'members' are an ensemble's" in told[0])
    assert KEY not in told[0]


@pytest.mark.parametrize("place", PLACES)
def test_what_was_ignored_of_a_config_is_told_in_a_reply(connect: Connect, place: str) -> None:
    """By the command that took the config, or by the execution that brought it."""
    bridge = connect()
    seen: list[str] = []
    call = bridge.call

    class Listening:
        """The bridge, with an ear for warnings."""

        def call(self, command: str, args: Any = None) -> dict[str, Any]:
            """The result, once its warnings were heard."""
            result = call(command, args)
            seen.extend(result.get("warnings", ()))
            return result

        ask = staticmethod(bridge.ask)

    listening = Listening()
    said = PLACES[place](listening, {"provider": "mock", "responses": ANSWERS, "temprature": 1})
    listening.call("execute_program", {**ASK, **said})

    assert [text for text in seen if "'temprature'" in text and "did you mean 'temperature'" in text]


def test_what_was_ignored_of_the_default_lm_is_told_by_what_it_answers(connect: Connect) -> None:
    """There is no reply to whoever wrote the setting."""
    bridge = connect(BridgeSettings(default_lm={"provider": "mock", "responses": ANSWERS, "respnses": 1}))
    bridge.call("create_program", {"id": "qa", "signature": QA})

    (warning,) = bridge.call("execute_program", ASK)["warnings"]

    assert "'respnses'" in warning


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"options": {"lm_confg": FLAT}}, "no option 'lm_confg' (did you mean 'lm_config'?)"),
        ({"options": {"max_tokens": 5}}, "no option 'max_tokens'"),
        ({"api_key": KEY}, "api_key stands beside no lm"),
        ({"options": {"api_key": KEY}}, "options.api_key stands beside no options.lm"),
    ],
)
def test_an_override_that_says_nothing_is_told(bridge: Client, args: dict[str, Any], text: str) -> None:
    """A typing error among the options would otherwise let a wider scope answer unnoticed."""
    bridge.call("create_program", {"id": "qa", "signature": QA})

    result = bridge.call("execute_program", {**ASK, **args})

    assert result["answer"] == "somebody else"
    assert [warning for warning in result["warnings"] if text in warning]


def test_warnings_leave_an_output_of_that_name_alone(bridge: Client) -> None:
    """The output is found among the outputs, the warnings at the top."""
    bridge.call("create_program", {"id": "qa", "signature": "question -> warnings: str"})

    result = bridge.call("execute_program", {**ASK, "options": {"nobody": 1}})

    assert result["outputs"] == {"warnings": "somebody else"}
    assert result["warnings"] == ["execute_program knows no option 'nobody'; it was ignored"]


@pytest.mark.parametrize("args", [{"lm_config": {"seed": 7}}, {"options": {"lm_config": {"seed": 7}}}])
def test_a_seed_alone_is_a_parameter_and_names_no_mock(bridge: Client, args: dict[str, Any]) -> None:
    """Whoever says only a seed means the LM of the next wider scope."""
    bridge.call("configure_lm", {"provider": "openai", "model": "gpt-4o", "responses": ANSWERS})
    bridge.call("create_program", {"id": "qa", "signature": QA})

    held = bridge.call("get_lm", {"program_id": "qa", **args})["lm"]

    assert (held["model"], held["params"]) == ("gpt-4o", {"seed": 7})
    assert bridge.call("execute_program", {**ASK, **args})["answer"] == "the one"


@pytest.mark.parametrize("name", ["lm_config", "tools", "program_type"])
def test_a_definition_that_contradicts_itself_is_an_error(bridge: Client, name: str) -> None:
    """What stands beside the signature does not quietly take the place of what stands within it."""
    values: dict[str, tuple[Any, Any]] = {
        "lm_config": ({"provider": "mock", "responses": ANSWERS}, {"provider": "mock", "responses": {"default": "x"}}),
        "tools": ([{"name": "one", "returns": 1}], [{"name": "two", "returns": 2}]),
        "program_type": ("predict", "chain_of_thought"),
    }
    beside, within = values[name]

    response = bridge.ask("create_program", {"id": "qa", "signature": {**QA, name: within}, name: beside})

    assert (response.code, f"'{name}' is one thing beside" in (response.message or "")) == ("invalid_program", True)


def test_a_signature_s_lm_is_told_to_be_unread(bridge: Client) -> None:
    """Inside a signature the config is called `lm_config`."""
    created = bridge.call("create_program", {"id": "qa", "signature": {**QA, "lm": FLAT}})

    assert [warning for warning in created["warnings"] if "did you mean 'lm_config'" in warning]


def test_a_replayed_lm_is_rebuilt_as_one(connect: Connect) -> None:
    """What a pool remembers of a program keeps that its LM answers from a recording, so that nobody else is asked."""
    settings = BridgeSettings(offline_policy=OfflinePolicy.LIVE)
    replayed = {"provider": "openai", "model": "gpt-4o", "mode": "replay"}
    created = connect(settings).call("create_program", {"id": "qa", "signature": QA, "lm_config": replayed})

    assert created["signature_def"]["lm_config"]["mode"] == "replay"
    fresh = connect(settings)
    assert fresh.call("get_lm", {"program_id": "qa", "program_data": created})["lm"]["mocked"] is True
