"""A bridge that records what its clients' LMs say, and replays it without them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dspex_testkit.bridge import BridgeSettings
from dspex_testkit.lm.policy import OfflinePolicy
from dspex_testkit.simulator import ProviderSimulator
from tests.support.bridges import InProcess

OPENAI = {"provider": "openai", "model": "gpt-4o-mini", "temperature": 0.7}


@pytest.fixture
def simulator() -> Iterator[ProviderSimulator]:
    """Providers that can add."""
    with ProviderSimulator() as running:
        yield running


def bridge(folder: Path, policy: str, **settings: Any) -> InProcess:
    """A bridge with cassettes."""
    return InProcess(BridgeSettings(offline_policy=OfflinePolicy(policy), cassettes=str(folder), **settings))


def live(simulator: ProviderSimulator, model: str = "openai/gpt-4o-mini") -> dict[str, Any]:
    """What a client sends to use a simulated provider."""
    target = simulator.target(model, spec={"responses": {"2+2": "4", "2+3": "5"}})
    provider = "google" if model.startswith("gemini/") else "openai"
    return {
        "provider": provider,
        "model": target.name,
        "temperature": 0.7,
        "api_base": target.api_base,
        "api_key": target.api_key,
    }


def ask(client: InProcess, question: str, session_id: str | None = None) -> dict[str, Any]:
    """Run the program `qa`."""
    session = {"session_id": session_id} if session_id else {}
    return client.call("execute_program", {"program_id": "qa", "inputs": {"question": question}, **session})


def prepared(client: InProcess, lm: dict[str, Any], session_id: str | None = None) -> InProcess:
    """A client with an LM and the program `qa`."""
    session = {"session_id": session_id} if session_id else {}
    client.call("configure_lm", {**lm, **session})
    client.call("create_program", {"id": "qa", "signature": "question -> answer", **session})
    return client


def test_a_named_cassette_is_recorded_by_one_bridge_and_replayed_by_another(
    tmp_path: Path, simulator: ProviderSimulator
) -> None:
    """What the policy `record` kept, the policy `replay` answers without key, address or provider."""
    recorder = prepared(bridge(tmp_path, "record"), live(simulator), "s1")
    used = recorder.call("use_cassette", {"session_id": "s1", "name": "suite/adds", "mode": "once"})
    assert used["status"] == "in_use"
    result = ask(recorder, "2+2", "s1")
    assert (result["answer"], result["lm"]["mocked"]) == ("4", False)
    report = recorder.call("eject_cassette", {"session_id": "s1", "passed": True})
    assert (report["recorded"], report["committed"]) == (1, True)

    player = prepared(bridge(tmp_path, "replay"), OPENAI, "s9")
    player.call("use_cassette", {"session_id": "s9", "name": "suite/adds"})
    result = ask(player, "2+2", "s9")
    assert (result["answer"], result["lm"]["mocked"]) == ("4", True)
    call = player.call("get_journal", {})["calls"][0]
    assert (call["engine"], call["mocked"], call["provider"], call["session_id"]) == ("replay", True, "openai", "s9")
    assert call["usage"]["input_tokens"] > 0
    assert call["cost"] is not None
    assert player.call("eject_cassette", {"session_id": "s9", "passed": True})["unplayed"] == []


def test_a_failed_test_leaves_no_recording(tmp_path: Path, simulator: ProviderSimulator) -> None:
    """Ejected as not passed, nothing is kept."""
    recorder = prepared(bridge(tmp_path, "record"), live(simulator), "s1")
    recorder.call("use_cassette", {"session_id": "s1", "name": "failing"})
    ask(recorder, "2+2", "s1")
    assert not recorder.call("eject_cassette", {"session_id": "s1", "passed": False})["committed"]
    assert not list(tmp_path.rglob("*.yaml"))


def test_sessions_without_a_named_cassette_have_one_each(tmp_path: Path, simulator: ProviderSimulator) -> None:
    """Recordings that nobody names are kept under the session's name, and found there again."""
    recorder = bridge(tmp_path, "record")
    for session, question in (("alpha", "2+2"), ("beta", "2+3")):
        prepared(recorder, live(simulator), session)
        ask(recorder, question, session)
    assert sorted(file.name for file in tmp_path.glob("*.yaml")) == ["alpha.yaml", "beta.yaml"]
    player = bridge(tmp_path, "replay")
    for session in ("alpha", "beta"):
        prepared(player, OPENAI, session)
    assert ask(player, "2+2", "alpha")["answer"] == "4"
    missed = player.ask("execute_program", {"program_id": "qa", "session_id": "beta", "inputs": {"question": "2+2"}})
    assert missed.code == "no_matching_interaction"
    assert "2+3" in str(missed.message)


def test_a_test_says_how_its_cassette_is_used(tmp_path: Path, simulator: ProviderSimulator) -> None:
    """`options` are those of the library, as far as JSON can say them."""
    recorder = prepared(bridge(tmp_path, "record"), live(simulator), "s")
    recorder.call("use_cassette", {"session_id": "s", "name": "adds", "mode": "once"})
    ask(recorder, "2+2", "s")
    recorder.call("eject_cassette", {"session_id": "s", "passed": True})

    player = prepared(bridge(tmp_path, "replay"), {**OPENAI, "temperature": 0.1}, "s")
    options = {"ignore": ["config.temperature"], "on_exhausted": "cycle"}
    player.call("use_cassette", {"session_id": "s", "name": "adds", "options": options})

    assert [ask(player, "2+2", "s")["answer"] for _ in range(2)] == ["4", "4"]


def test_a_missing_recording_is_an_error_with_a_code(tmp_path: Path) -> None:
    """Without a cassette the execution says how to make one."""
    player = prepared(bridge(tmp_path, "replay"), OPENAI)
    response = player.ask("execute_program", {"program_id": "qa", "inputs": {"question": "2+2"}})
    assert response.code == "cassette_not_found"


@pytest.mark.parametrize(
    ("command", "args", "code"),
    [
        ("use_cassette", {}, "invalid_args"),
        ("use_cassette", {"name": "../out"}, "cassette_path"),
        ("use_cassette", {"name": "x", "mode": "sometimes"}, "usage_error"),
        ("use_cassette", {"name": "x", "mode": "rewrite"}, "usage_error"),
        ("use_cassette", {"name": "missing"}, "cassette_not_found"),
        ("use_cassette", {"name": "x", "options": {"ignored": []}}, "invalid_args"),
        ("use_cassette", {"name": "x", "options": {"ignore": 5}}, "usage_error"),
        ("use_cassette", {"name": "x", "options": {"match_on": ["body"]}}, "usage_error"),
        ("use_cassette", {"name": "x", "options": {"redact": ["("]}}, "unusable_pattern"),
        ("use_cassette", {"name": "x", "options": {"ignore_patterns": ["["]}}, "unusable_pattern"),
        ("eject_cassette", {"passed": True}, "cassette_error"),
        ("eject_cassette", {}, "invalid_args"),
    ],
)
def test_wrong_requests_are_refused(tmp_path: Path, command: str, args: dict[str, Any], code: str) -> None:
    """Each wrong request has its own code."""
    assert bridge(tmp_path, "replay").ask(command, {"session_id": "s", **args}).code == code


@pytest.mark.parametrize("policy", ["mock", "live", "record"])
def test_one_lm_may_be_replayed_under_every_policy(tmp_path: Path, simulator: ProviderSimulator, policy: str) -> None:
    """`mode: "replay"` answers from the session's cassette, beside whatever answers for other LMs."""
    recorder = prepared(bridge(tmp_path, "record"), live(simulator), "s")
    ask(recorder, "2+2", "s")
    player = prepared(bridge(tmp_path, policy), {**OPENAI, "mode": "replay"}, "s")
    result = ask(player, "2+2", "s")
    assert (result["answer"], result["lm"]["mocked"]) == ("4", True)
    assert player.call("get_journal", {})["calls"][0]["engine"] == "replay"
    assert len(simulator.calls) == 1


@pytest.mark.parametrize("config", [{"provider": "mock"}, {}, {**OPENAI, "responses": {"a": "b"}}])
def test_a_replayed_lm_names_its_provider_and_nothing_else(tmp_path: Path, config: dict[str, Any]) -> None:
    """`mode: "replay"` without a real provider, or with answers of its own, is refused."""
    response = bridge(tmp_path, "mock").ask("configure_lm", {**config, "mode": "replay"})
    assert response.code == "invalid_lm_config"


def test_mocks_stay_mocks_while_recording(tmp_path: Path) -> None:
    """A config of provider `mock` is answered by its own table, whatever the policy."""
    player = prepared(bridge(tmp_path, "replay"), {"provider": "mock", "responses": {"2+2": "four"}})
    assert ask(player, "2+2")["answer"] == "four"
    assert not list(tmp_path.rglob("*.yaml"))


def test_an_alias_answers_for_a_model_that_is_gone(tmp_path: Path, simulator: ProviderSimulator) -> None:
    """The cassette is kept under the requested name, says who answered, and replays without the alias."""
    alias = (("gemini/gemini-1.5-flash", "gemini/gemini-2.0-flash"),)
    lm = {**live(simulator, "gemini/gemini-2.0-flash"), "model": "gemini-1.5-flash"}
    recorder = prepared(bridge(tmp_path, "record", model_aliases=alias), lm, "s")
    assert ask(recorder, "2+2", "s")["answer"] == "4"
    recorded = yaml.safe_load((tmp_path / "s.yaml").read_text())["interactions"][0]
    assert recorded["request"]["body"]["model"] == "gemini/gemini-1.5-flash"
    assert recorded["response"]["recording"]["live_model"] == "gemini/gemini-2.0-flash"
    asked = {"provider": "google", "model": "gemini-1.5-flash", "temperature": 0.7}
    assert ask(prepared(bridge(tmp_path, "replay"), asked, "s"), "2+2", "s")["answer"] == "4"


def test_two_configs_of_one_session_share_its_cassette(tmp_path: Path, simulator: ProviderSimulator) -> None:
    """Programs on different LMs record into the session's one file and replay from it."""
    recorder = bridge(tmp_path, "record")
    player = bridge(tmp_path, "replay")
    gemini = live(simulator, "gemini/gemini-2.0-flash")
    for client, first, second in (
        (recorder, live(simulator), gemini),
        (player, OPENAI, {key: gemini[key] for key in ("provider", "model", "temperature")}),
    ):
        prepared(client, first, "s")
        assert ask(client, "2+2", "s")["answer"] == "4"
        override = {"program_id": "qa", "session_id": "s", "inputs": {"question": "2+3"}, "lm_config": second}
        assert client.call("execute_program", override)["answer"] == "5"
    assert len(yaml.safe_load((tmp_path / "s.yaml").read_text())["interactions"]) == 2


@pytest.mark.parametrize("command", ["cleanup_session", "reset_state"])
def test_a_forgotten_session_starts_its_cassette_anew(
    tmp_path: Path, simulator: ProviderSimulator, command: str
) -> None:
    """After a session is forgotten, one of the same name plays from the beginning."""
    ask(prepared(bridge(tmp_path, "record"), live(simulator), "s"), "2+2", "s")
    player = bridge(tmp_path, "replay")
    for _ in range(2):
        assert ask(prepared(player, OPENAI, "s"), "2+2", "s")["answer"] == "4"
        player.call(command, {"session_id": "s"})


@pytest.mark.parametrize("strategy", ["majority", "first_success", "best_of", "all"])
def test_the_members_of_an_ensemble_are_recorded_one_by_one(
    tmp_path: Path, simulator: ProviderSimulator, strategy: str
) -> None:
    """Each under its own model, and the judge too; replayed, they decide as they did."""

    def config(model: str, said: str) -> dict[str, Any]:
        target = simulator.target(model, spec={"responses": {"default": said}})
        return {"model": model, "api_base": target.api_base, "api_key": target.api_key}

    said = {"openai/gpt-4o-mini": "4", "gemini/gemini-2.0-flash": "5", "anthropic/claude-3-5-haiku-latest": "4"}
    ensemble: dict[str, Any] = {"kind": "ensemble", "strategy": strategy, "temperature": 0.7}
    live = {**ensemble, "members": [config(*member) for member in said.items()]}
    replayed = {**ensemble, "members": list(said)}
    if strategy == "best_of":
        live["judge"], replayed["judge"] = config("openai/gpt-4o", "2"), "openai/gpt-4o"

    first = ask(prepared(bridge(tmp_path, "record"), live, "s"), "2+2", "s")
    simulator.stop()
    again = ask(prepared(bridge(tmp_path, "replay"), replayed, "s"), "2+2", "s")

    kept = yaml.safe_load((tmp_path / "s.yaml").read_text())["interactions"]
    asked = {"first_success": list(said)[:1], "best_of": [*said, "openai/gpt-4o"]}.get(strategy, list(said))
    assert sorted(interaction["request"]["body"]["model"] for interaction in kept) == sorted(asked)
    assert again["answer"] == first["answer"] == ("5" if strategy == "best_of" else "4")
    assert again["lm"]["ensemble"][0]["decided_by"] == first["lm"]["ensemble"][0]["decided_by"]
