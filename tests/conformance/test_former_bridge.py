"""Each defect of the bridge that this one takes the place of has a test; here are those without a better home."""

import gc
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from dspex_testkit.bridge import Bridge
from dspex_testkit.pool import InProcessBridge
from dspex_testkit.protocol import Request, encode_frame
from tests.conformance.conftest import Launch
from tests.support.bridges import Process
from tests.support.named_tests import exists, rows

ROWS = rows(Path(__file__).with_name("former-bridge.md"))

QA = "question -> answer"
ASK = {"question": "Who?"}
RUN = {"program_id": "p", "inputs": ASK}


def test_every_defect_has_a_line() -> None:
    """All 49, in the order of the contract."""
    assert [line.partition(":")[0] for line, _ in ROWS] == [f"D{number}" for number in range(1, 50)]


@pytest.mark.parametrize(("line", "tests"), ROWS, ids=[line.partition(":")[0] for line, _ in ROWS])
def test_every_defect_has_a_test_that_exists(line: str, tests: list[tuple[str, str]]) -> None:
    """Whoever renames a test is told to rename it in the table."""
    assert tests
    assert [test for test in tests if not exists(*test)] == []


UNWRITABLE = """
from dspex_testkit.bridge.commands import HANDLERS
from dspex_testkit.launch.main import main

HANDLERS["get_stats"] = lambda bridge, args: {"a": object()}
main()
"""


def test_a_result_that_cannot_be_written_is_an_error_under_its_id() -> None:
    """The last resort, should a command ever give what JSON cannot say; the next one is answered."""
    with Process(argv=["-c", UNWRITABLE], env={"DSPEX_TESTKIT_HOST": "off"}) as bridge:
        bridge.send(Request(7, "get_stats"))
        response = bridge.receive()

        assert response is not None
        assert (response.id, response.code) == (7, "internal_error")
        assert bridge.call("ping")["status"] == "ok"


def test_no_failure_is_told_on_stderr(bridge: Process) -> None:
    """Expected or not: a packet, a command, a config, a program, an LM that fails."""
    bridge.send_bytes(encode_frame(b"not json"))
    bridge.send_bytes(encode_frame(b'{"id": 5, "command": 7}'))
    assert bridge.receive() is not None
    bridge.call("create_program", {"id": "p", "signature": QA})
    failing = {"provider": "mock", "faults": ["server_error"]}
    failures = [
        bridge.ask("No_Such_Command"),
        bridge.ask("configure_lm", {"provider": "nobody", "model": "m"}),
        bridge.ask("execute_program", {"program_id": "q", "inputs": ASK}),
        bridge.ask("execute_program", {**RUN, "lm_config": failing}),
        bridge.ask("create_program", {"id": "q"}),
    ]
    bridge.call("shutdown")

    assert not any(failure.success for failure in failures)
    assert bridge.end() == (0, "")


def test_dspy_s_own_settings_are_left_alone() -> None:
    """Whoever else uses DSPy in the process keeps the LM that he configured."""
    import dspy

    before = dict(dspy.settings.copy())
    bridge = InProcessBridge(Bridge())
    bridge.call("create_program", {"id": "p", "signature": QA, "lm_config": {"provider": "mock", "model": "program"}})
    for scope in ({}, {"session_id": "alice"}):
        bridge.call("configure_lm", {"provider": "mock", "model": "configured", **scope})
        bridge.call("execute_program", {**RUN, **scope})
        bridge.call("execute_program", {**RUN, **scope, "lm_config": {"provider": "mock", "model": "execution"}})

    assert dict(dspy.settings.copy()) == before


@pytest.mark.parametrize("mode", ["standalone", "pool-worker"])
def test_what_is_missing_is_told_without_dspy(launch: Launch, tmp_path: Path, mode: str) -> None:
    """First the program, then the LM, while the import of dspy has not ended."""
    package = tmp_path / "hanging" / "dspy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import threading\nthreading.Event().wait()\n", encoding="utf-8")
    bridge = launch(mode, env={"PYTHONPATH": str(package.parent), "DSPEX_TESTKIT_HOST": "off"})

    no_program = bridge.ask("execute_program", RUN)
    bridge.call("create_program", {"id": "p", "signature": QA})
    no_lm = bridge.ask("execute_program", RUN)

    assert (no_program.code, no_lm.code) == ("program_not_found", "no_lm_loaded")


def test_no_command_lists_processes_or_collects_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an execution nor any way of cleaning up."""

    def forbidden(*_: object, **__: object) -> NoReturn:
        raise AssertionError("swept")

    monkeypatch.setattr(psutil, "process_iter", forbidden)
    monkeypatch.setattr(gc, "collect", forbidden)
    bridge = InProcessBridge(Bridge())
    bridge.call("configure_lm", {"provider": "mock"})
    bridge.call("create_program", {"id": "p", "signature": QA})
    bridge.call("execute_program", RUN)
    for command, args in [
        ("get_stats", {}),
        ("delete_program", {"program_id": "p"}),
        ("cleanup_session", {"session_id": "alice"}),
        ("cleanup", {}),
        ("reset_state", {}),
        ("shutdown", {}),
    ]:
        bridge.call(command, args)


@pytest.mark.parametrize("session", [{}, {"session_id": "anonymous"}, {"session_id": "named"}])
def test_a_gemini_program_of_one_worker_runs_on_the_other(launch: Launch, session: dict[str, str]) -> None:
    """By either command, and is listed there."""
    one, other = launch("pool-worker"), launch("pool-worker")
    one.call(
        "create_gemini_program",
        {"id": "sum", "signature": {"inputs": [{"name": "q"}], "outputs": [{"name": "a"}]}, **session},
    )
    ask = {"program_id": "sum", "inputs": {"q": "What is 2+2?"}, **session}

    assert "4" in other.call("execute_gemini_program", ask)["outputs"]["a"]
    assert "4" in other.call("execute_program", ask)["outputs"]["a"]
    assert [entry["type"] for entry in other.call("list_programs", session)["programs"]] == ["gemini"]


def test_a_bridge_that_starts_again_is_empty_and_works(launch: Launch) -> None:
    """The state of a standalone bridge ends with its process; what is created again runs."""
    env = {"DSPEX_TESTKIT_DEFAULT_LM": "mock"}
    first = launch(env=env)
    first.call("create_program", {"id": "p", "signature": QA})
    first.process.kill()
    again = launch(env=env)

    assert again.ask("execute_program", RUN).code == "program_not_found"
    assert again.call("get_stats")["execution_count"] == 0
    again.call("create_program", {"id": "p", "signature": QA})
    assert again.call("execute_program", RUN)["answer"]
