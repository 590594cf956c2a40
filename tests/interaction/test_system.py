"""Commands about the bridge itself, and what every command tolerates."""

from typing import Any

import pytest

from dspex_testkit.bridge.commands import HANDLERS
from tests.support.bridges import Client, Transport


def test_ping_has_every_field_that_dspex_reads(bridge: Client, transport: Transport) -> None:
    """Status, a float of uptime, availability, mode and worker id."""
    result = bridge.call("ping")

    assert result["status"] == "ok"
    assert type(result["uptime"]) is float
    assert (result["dspy_available"], result["gemini_available"]) == (True, True)
    assert result["mode"] == ("pool-worker" if transport == "pool-worker" else "standalone")
    assert result.get("worker_id") == ("worker_1_1" if transport == "pool-worker" else None)


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"initialization": True, "enhanced": True},
        {"health_check": True, "id": 17, "timestamp": None},
        {"warmup": True, "slot": 1},
        {"echo_args": True, "test_id": 5, "session_id": "alice"},
    ],
)
def test_ping_tolerates_every_marker(bridge: Client, args: dict[str, Any]) -> None:
    """Test suites add keys of their own."""
    assert bridge.call("ping", args)["status"] == "ok"


def test_stats_count_commands_errors_and_programs(bridge: Client) -> None:
    """The types are those that DSPex's tests assert."""
    bridge.call("create_program", {"id": "p", "signature": "a -> b"})
    bridge.ask("no_such_command")

    stats = bridge.call("get_stats")

    assert (stats["programs_count"], stats["error_count"]) == (1, 1)
    assert stats["command_count"] == stats["commands_processed"] >= 3
    assert type(stats["uptime"]) is float
    assert stats["memory_usage"]["peak_rss_mb"] > 0


def test_every_failed_command_counts_once(bridge: Client) -> None:
    """Whatever failed: the command, a config, a program, an LM. What succeeds counts as nothing."""
    bridge.call("create_program", {"id": "p", "signature": "question -> answer"})
    run = {"program_id": "p", "inputs": {"question": "Who?"}}
    failures = [
        bridge.ask("no_such_command"),
        bridge.ask("configure_lm", {"provider": "nobody", "model": "m"}),
        bridge.ask("execute_program", {"program_id": "q", "inputs": {}}),
        bridge.ask("execute_program", run),
        bridge.ask("execute_program", {**run, "lm_config": {"provider": "mock", "faults": ["server_error"]}}),
        bridge.ask("create_program", {"id": "q"}),
    ]
    bridge.call("execute_program", {**run, "lm_config": "mock"})

    assert not any(failure.success for failure in failures)
    assert bridge.call("get_stats")["error_count"] == len(failures)


@pytest.mark.parametrize("command", ["invalid_command", "unknown_command", "crash_worker", "simulate_error", ""])
def test_an_unknown_command_is_an_error_and_no_more(bridge: Client, command: str) -> None:
    """The text is the contract's and the next request works."""
    response = bridge.ask(command, {"chaos_test": True, "target": 1})

    assert response.code == "unknown_command"
    assert str(response.message).startswith(f"Unknown command: {command}")
    assert bridge.call("ping")["status"] == "ok"


def test_an_unknown_command_names_the_nearest(bridge: Client) -> None:
    """A typing error is pointed out."""
    assert "did you mean 'execute_program'" in str(bridge.ask("execute_progam").message)


COMMANDS = sorted(set(HANDLERS) - {"shutdown", "crash_worker"})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_survives_null_arguments(bridge: Client, command: str) -> None:
    """Null for any value means absent."""
    names = ("id", "program_id", "session_id", "inputs", "options", "signature", "lm_config", "since", "limit", "key")

    response = bridge.ask(command, dict.fromkeys(names))

    assert response.success or response.code != "internal_error", response


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("value", [5, "text", [1, 2], {"a": {"b": 1}}, True, 1.5])
def test_every_command_survives_arguments_of_the_wrong_type(bridge: Client, command: str, value: object) -> None:
    """Wrong types are answered with a code of their own, never with an internal error."""
    names = ("id", "program_id", "session_id", "inputs", "options", "signature", "lm_config", "since", "limit", "key")

    response = bridge.ask(command, dict.fromkeys(names, value))

    assert response.success or response.code != "internal_error", response
    assert bridge.call("ping")["status"] == "ok"
