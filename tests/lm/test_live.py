"""Live LMs: keys, addresses, one call for verification; against a provider on the loopback."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dspex_testkit.bridge import Bridge, BridgeSettings
from dspex_testkit.lm.config.providers import PROVIDERS
from dspex_testkit.lm.policy import OfflinePolicy
from tests.support.bridges import InProcess
from tests.support.chat_server import ChatServer, answering
from tests.support.waiting import PATIENCE

KEY_VARIABLES = [name for provider in PROVIDERS.values() for name in provider.key_variables]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A provider that answers `Paris`."""
    with ChatServer() as running:
        yield running


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    """A live bridge with one program, in an environment without keys."""
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    client = InProcess(BridgeSettings(offline_policy=OfflinePolicy.LIVE))
    client.call("create_program", {"id": "p", "signature": "question -> answer"})
    yield client
    assert isinstance(client.bridge, Bridge)
    client.bridge.close()


def ask(bridge: InProcess, **args: Any) -> dict[str, Any]:
    """One execution's result."""
    return bridge.call("execute_program", {"program_id": "p", "inputs": {"question": "?"}, **args})


def test_a_live_lm_is_asked_with_its_parameters_and_its_key(bridge: InProcess, server: ChatServer) -> None:
    """What was configured arrives at the provider, an execution's parameters over it."""
    bridge.call("configure_lm", server.config(temperature=0.5, max_tokens=50, stop=["END"]))

    result = ask(bridge, temperature=0.25)

    assert (result["outputs"], result["lm"]["mocked"]) == ({"answer": "Paris"}, False)
    sent = server.requests[0]
    assert (sent["model"], sent["temperature"], sent["max_completion_tokens"]) == ("gpt-4o-mini", 0.25, 50)
    assert server.keys == ["sk-loopback-key"]


def test_configuring_asks_nobody(bridge: InProcess, server: ChatServer) -> None:
    """No connection is opened before the first execution."""
    bridge.call("configure_lm", server.config())
    bridge.call("get_lm")

    assert server.connections == 0


def test_a_live_call_is_in_the_journal_with_tokens_and_cost(bridge: InProcess, server: ChatServer) -> None:
    """Cached and reasoning tokens apart, the price exact."""
    server.answer = answering("Paris", prompt_tokens_details={"cached_tokens": 40})
    bridge.call("configure_lm", server.config())
    ask(bridge)

    call = bridge.call("get_journal")["calls"][0]

    assert (call["engine"], call["mocked"], call["outputs"]) == ("live", False, {"answer": "Paris"})
    assert (call["usage"]["input_tokens"], call["usage"]["cached_tokens"]) == (100, 40)
    # 60 * 0.15 + 40 * 0.075 + 10 * 0.60 dollars per million
    assert float(call["cost"]) == 0.000018


def test_a_failed_live_call_is_in_the_journal(bridge: InProcess, server: ChatServer) -> None:
    """The provider's refusal is told, and costs nothing."""
    server.answer = lambda body: (401, {"error": {"message": "wrong key sk-loopback-key"}})
    bridge.call("configure_lm", server.config())

    response = bridge.ask("execute_program", {"program_id": "p", "inputs": {"question": "?"}})
    call = bridge.call("get_journal")["calls"][0]

    assert response.code == "program_execution_failed"
    assert "sk-loopback-key" not in str(response.to_wire())
    assert (call["error"].split(":")[0], call["cost"]) == ("LMAuthError", None)
    assert "wrong key [redacted]" in call["error"]


@pytest.mark.parametrize("provider", sorted(set(PROVIDERS) - {"mock", "cached", "ollama", "vertex"}))
def test_a_live_lm_without_a_key_fails_when_it_is_configured(bridge: InProcess, provider: str) -> None:
    """The error names the variable that the provider's key usually stands in."""
    response = bridge.ask("configure_lm", {"provider": provider, "model": "some-model"})

    assert response.code == "missing_api_key"
    assert PROVIDERS[provider].key_variables[0] in str(response.message)


@pytest.mark.parametrize("provider", ["ollama", "vertex"])
def test_a_provider_without_keys_needs_none(bridge: InProcess, provider: str) -> None:
    """Who serves locally or signs in otherwise is configured without."""
    assert bridge.call("configure_lm", {"provider": provider, "model": "m"})["mocked"] is False


def test_the_provider_s_usual_variable_is_read(
    bridge: InProcess, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in the environment need not be sent."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    bridge.call("configure_lm", server.config(api_key=None))
    ask(bridge)

    assert server.keys == ["sk-from-the-environment"]


def test_a_config_may_name_the_variable_of_its_key(
    bridge: InProcess, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then no other variable counts."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-this-one")
    refused = bridge.ask("configure_lm", server.config(api_key=None, api_key_env="HOUSE_KEY"))
    monkeypatch.setenv("HOUSE_KEY", "sk-house")
    bridge.call("configure_lm", server.config(api_key=None, api_key_env="HOUSE_KEY"))
    ask(bridge)

    assert refused.code == "missing_api_key"
    assert "HOUSE_KEY" in str(refused.message)
    assert "OPENAI_API_KEY" not in str(refused.message)
    assert server.keys == ["sk-house"]


def test_a_server_of_one_s_own_is_told_apart_in_the_error(bridge: InProcess, server: ChatServer) -> None:
    """Local servers often want no key; the error says how to write that."""
    response = bridge.ask("configure_lm", server.config(api_key=None))

    assert "any text, if the server" in str(response.message)


def test_verification_is_one_call(bridge: InProcess, server: ChatServer) -> None:
    """`verify` asks once, with few tokens, and counts like any call."""
    told = bridge.call("configure_lm", server.config(verify=True))

    assert told["verified"] is True
    assert [request["max_completion_tokens"] for request in server.requests] == [16]
    assert bridge.call("get_journal")["calls"][0]["cost"]


def test_an_lm_that_fails_its_verification_is_not_kept(bridge: InProcess, server: ChatServer) -> None:
    """What was there before is there again, and the journal tells both."""
    bridge.call("configure_lm", server.config(model="gpt-4o"))
    server.answer = lambda body: (500, {"error": {"message": "out of order"}})

    response = bridge.ask("configure_lm", server.config(verify=True))

    assert response.code == "lm_verification_failed"
    assert "out of order" in str(response.message)
    assert len(server.requests) == 1
    assert bridge.call("get_lm")["lm"]["model"] == "gpt-4o"
    assert [change["kind"] for change in bridge.call("get_journal")["changes"]] == [
        "configured",
        "configured",
        "restored",
    ]


def test_a_mock_is_not_verified() -> None:
    """There is nobody to reach; that is told, not claimed."""
    told = InProcess().call("configure_lm", {"provider": "openai", "model": "gpt-4", "verify": True})

    assert (told["verified"], told["mocked"]) == (None, True)


@pytest.mark.parametrize(
    ("named", "provider"), [("dspy.OpenAI", "openai"), ("dspy.Google", "google"), ("dspy.Claude", "anthropic")]
)
def test_retired_classes_are_explained(named: str, provider: str) -> None:
    """Who follows older notes is told what to write now."""
    bridge = InProcess()
    for args in ({"provider": named, "model": "m"}, {"model": f"{named}('m')"}):
        response = bridge.ask("configure_lm", args)
        assert response.code == "unknown_provider"
        assert f"write provider {provider!r}" in str(response.message)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1, True, "10"])
def test_an_impossible_timeout_is_refused(value: object) -> None:
    """The message says which values are possible."""
    response = InProcess().ask("configure_lm", {"provider": "openai", "model": "gpt-4", "timeout": value})

    assert response.code == "invalid_lm_config"
    assert "a number above 0" in str(response.message)


def test_a_deadline_reaches_the_provider_s_connection(bridge: InProcess, server: ChatServer) -> None:
    """A live call is cancelled while the provider thinks, and the journal tells of it."""
    asked, thinking = threading.Event(), threading.Event()

    def slowly(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        asked.set()
        thinking.wait(PATIENCE)
        return answering("late")(body)

    server.answer = slowly
    bridge.call("configure_lm", server.config())
    execute = {"program_id": "p", "inputs": {"question": "?"}}

    # A busy machine may need longer than the first of them to reach the provider at all.
    for limit in (300, 3_000, 30_000):
        response = bridge.ask("execute_program", {**execute, "timeout_ms": limit})
        if asked.is_set():
            break
    thinking.set()

    assert (response.code, response.details["stopped"]) == ("execution_timeout", True)
    assert "CancelledError" in bridge.call("get_journal")["calls"][-1]["error"]
