"""The first answer comes before anything heavy is imported, and no import ever holds up a ping."""

import subprocess
import sys

import pytest

from dspex_testkit.protocol import Request
from tests.runtime.conftest import Gate, Start
from tests.support.bridges import Process

HEAVY = {"dspy", "pydantic", "orjson", "numpy", "dataclasses", "typing", "pathlib", "argparse", "tomllib", "logging"}


@pytest.mark.parametrize("module", ["dspex_testkit.launch.main", "dspex_testkit.bridge.ping"])
def test_nothing_heavy_is_imported_before_the_first_ping(module: str) -> None:
    """In a fresh interpreter the serve loop brings along only light modules."""
    code = f"import sys; old = set(sys.modules); import {module}; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())


def test_a_launcher_hands_over_before_it_could_read_json() -> None:
    """Where there is a host it needs none of the modules that take as long to import as Python takes to start."""
    modules = ["launch.main", *(f"host.{name}" for name in ("launcher", "place", "contact", "messages"))]
    imports = "; ".join(f"import dspex_testkit.{module}" for module in modules)
    code = f"import sys; old = set(sys.modules); {imports}; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"json", "re", "enum", "signal", "socket", "collections", "functools", "contextlib"}
    assert (HEAVY | slow).isdisjoint(done.stdout.split())


def test_the_command_line_does_not_import_dspy() -> None:
    """Help comes at once."""
    code = "import sys; import dspex_testkit.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"dspy", "pydantic", "orjson"}.isdisjoint(done.stdout.split())


def test_pings_and_state_commands_do_not_wait_for_dspy(start: Start, gate: Gate) -> None:
    """While the import of dspy hangs, everything that needs no dspy is answered."""
    bridge = start(env=gate.env)
    assert bridge.call("ping")["status"] == "ok"
    bridge.call("configure_lm", {"provider": "mock", "responses": {"default": "Paris"}})
    bridge.call("create_program", {"id": "qa", "signature": "question -> answer"})
    assert bridge.call("list_programs")["total_count"] == 1
    assert bridge.call("ping")["status"] == "ok"
    gate.open()
    result = bridge.call("execute_program", {"program_id": "qa", "inputs": {"question": "?"}})
    assert result["outputs"] == {"answer": "Paris"}


def test_a_ping_overtakes_an_execution_that_waits_for_dspy(gate: Gate) -> None:
    """Standalone, replies are correlated by id."""
    with Process(env=gate.env) as bridge:
        bridge.send(Request(1, "predict", {"signature": "q -> a", "inputs": {"q": "x"}, "lm_config": MOCK}))
        bridge.send(Request(2, "ping"))
        first = bridge.receive()
        gate.open()
        second = bridge.receive()
    assert (first and first.id, second and second.id) == (2, 1)
    assert second is not None
    assert second.success


def test_requests_sent_at_once_are_answered_in_their_order(start: Start) -> None:
    """What arrives while the bridge is being imported is neither lost nor shuffled."""
    bridge = start()
    bridge.send(Request(1, "configure_lm", MOCK))
    for id in range(2, 30):
        bridge.send(Request(id, "create_program", {"id": f"p{id}", "signature": "a -> b"}))
    bridge.send(Request(30, "list_programs"))
    responses = [bridge.receive() for _ in range(30)]
    assert [response and response.id for response in responses] == list(range(1, 31))
    last = responses[-1]
    assert last is not None
    assert last.result["total_count"] == 28


def test_an_early_shutdown_is_obeyed(start: Start) -> None:
    """Also where it is the very first request."""
    bridge = start()
    assert bridge.call("shutdown")["status"] == "shutting_down"
    assert bridge.end() == (0, "")


def test_commands_answered_early_are_counted(start: Start) -> None:
    """The bridge learns of the pings that were answered before it was there."""
    bridge = start()
    for _ in range(3):
        bridge.call("ping")
    bridge.send_bytes(b"\0\0\0\x08" + b'{"id":1}')
    bridge.receive()
    stats = bridge.call("get_stats")
    assert stats["command_count"] >= 4
    assert stats["error_count"] == 1


@pytest.mark.parametrize(
    "argv", [[], ["--mode", "pool-worker", "--worker-id", "worker_1_17"], ["--mode", "pool-worker"]]
)
def test_every_command_line_of_dspex_is_understood(argv: list[str]) -> None:
    """Standalone without arguments, a worker with and without an id; the id may also come with the first ping."""
    with Process(argv=["-m", "dspex_testkit.launch.main", *argv]) as bridge:
        first = bridge.call("ping", {"initialization": True, "worker_id": "worker_1_17"})
        bridge.call("get_stats")
        later = bridge.call("ping")
    expected = "pool-worker" if argv else "standalone"
    assert first["mode"] == later["mode"] == expected
    assert first["worker_id"] == later["worker_id"] == "worker_1_17"
    assert type(first["uptime"]) is float


MOCK = {"provider": "mock", "responses": {"default": "Paris"}}
