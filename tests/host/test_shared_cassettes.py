"""The cassettes of a pool: whichever worker is asked, a session has one, and the host is its only recorder."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dspex_testkit.simulator import ProviderSimulator
from tests.host.conftest import Start
from tests.support.bridges import Process
from tests.support.waiting import eventually

SPEC = {"responses": {"2+2": "4", "2+3": "5", "3+3": "6"}}
OPENAI = {"provider": "openai", "model": "gpt-4o-mini", "temperature": 0.7}
ALICE = {"session_id": "alice"}

Workers = Callable[..., tuple[Process, Process]]


@pytest.fixture
def simulator() -> Iterator[ProviderSimulator]:
    """Providers that can add."""
    with ProviderSimulator() as running:
        yield running


@pytest.fixture
def workers(start: Start, tmp_path: Path) -> Workers:
    """Starts two workers of one pool under a policy, with cassettes in the test's folder."""

    def start_two(policy: str, *, pool: str | None = None, **env: str) -> tuple[Process, Process]:
        told = {
            "DSPEX_TESTKIT_OFFLINE_POLICY": policy,
            "DSPEX_TESTKIT_CASSETTES": str(tmp_path),
            "DSPEX_TESTKIT_POOL": pool or policy,
            **env,
        }
        return start(worker_id="worker_1", env=told), start(worker_id="worker_2", env=told)

    return start_two


def live(simulator: ProviderSimulator) -> dict[str, Any]:
    """What a client sends to use a simulated provider."""
    target = simulator.target("openai/gpt-4o-mini", spec=SPEC)
    return {**OPENAI, "api_base": target.api_base, "api_key": target.api_key}


def prepare(worker: Process, lm: dict[str, Any], **session: str) -> None:
    """Give a session an LM and the program `qa`."""
    worker.call("configure_lm", {**lm, **session})
    worker.call("create_program", {"id": "qa", "signature": "question -> answer", **session})


def ask(worker: Process, question: str, **session: str) -> str:
    """The answer of the program `qa`."""
    result = worker.call("execute_program", {"program_id": "qa", "inputs": {"question": question}, **session})
    return str(result["answer"])


def questions(path: Path) -> list[str]:
    """What a cassette's interactions asked, in its order."""
    recorded = yaml.safe_load(path.read_text())["interactions"]
    texts = [json.dumps(interaction["request"]["body"]["messages"]) for interaction in recorded]
    return [next(question for question in SPEC["responses"] if question in text) for text in texts]


def test_one_cassette_records_what_every_worker_asked(
    workers: Workers, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    """Opened by one worker, ejected by the other, with the calls of both in the order in which they were made."""
    one, other = workers("record")
    prepare(one, live(simulator), **ALICE)
    used = one.call("use_cassette", {**ALICE, "name": "adds"})
    assert used["shared"] is True
    assert [ask(worker, question, **ALICE) for worker, question in ((other, "2+3"), (one, "2+2"))] == ["5", "4"]

    report = other.call("eject_cassette", {**ALICE, "passed": True})

    assert (report["recorded"], report["committed"]) == (2, True)
    assert questions(tmp_path / "adds.yaml") == ["2+3", "2+2"]


def test_one_cassette_is_played_to_every_worker(workers: Workers, simulator: ProviderSimulator) -> None:
    """Each recording once, whoever asks; what is left over is told by whoever ejects."""
    one, other = workers("record")
    prepare(one, live(simulator), **ALICE)
    one.call("use_cassette", {**ALICE, "name": "adds"})
    for question in ("2+2", "2+3", "3+3"):
        ask(one, question, **ALICE)
    one.call("eject_cassette", {**ALICE, "passed": True})

    one, other = workers("replay")
    prepare(one, OPENAI, **ALICE)
    other.call("use_cassette", {**ALICE, "name": "adds"})
    assert [ask(one, "2+2", **ALICE), ask(other, "2+3", **ALICE)] == ["4", "5"]
    again = other.ask("execute_program", {"program_id": "qa", "inputs": {"question": "2+2"}, **ALICE})
    assert again.code == "no_matching_interaction"
    assert "2+2" in str(again.message)

    missed = one.ask("eject_cassette", {**ALICE, "passed": True})
    assert missed.code == "no_matching_interaction"
    calls = one.call("get_journal", {**ALICE})["calls"]
    assert [call["engine"] for call in calls[:2]] == ["replay", "replay"]
    assert calls[0]["usage"]["input_tokens"] > 0
    assert calls[0]["cost"] is not None


def test_a_second_use_is_refused_on_any_worker(workers: Workers, simulator: ProviderSimulator) -> None:
    """The session has a cassette already, whoever gave it; another session may have another one."""
    one, other = workers("record")
    one.call("use_cassette", {**ALICE, "name": "a"})

    assert other.ask("use_cassette", {**ALICE, "name": "b"}).code == "cassette_error"
    assert other.ask("use_cassette", {"session_id": "bob", "name": "a"}).code == "cassette_busy"
    assert other.ask("use_cassette", {"session_id": "bob", "name": "b"}).success


def test_a_failed_test_leaves_nothing_of_any_worker(
    workers: Workers, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    """Ejected as not passed, by a worker that asked nothing itself."""
    one, other = workers("record")
    prepare(one, live(simulator), **ALICE)
    one.call("use_cassette", {**ALICE, "name": "failing"})
    ask(one, "2+2", **ALICE)

    assert other.call("eject_cassette", {**ALICE, "passed": False})["recorded"] == 1
    assert not list(tmp_path.rglob("*.yaml"))


def test_a_session_without_a_named_cassette_is_recorded_once(
    workers: Workers, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    """Both workers' calls stand in the one file of the session, each as soon as it was made."""
    one, other = workers("record")
    prepare(one, live(simulator), **ALICE)
    for worker, question in ((one, "2+2"), (other, "2+3"), (one, "3+3")):
        ask(worker, question, **ALICE)
        assert questions(tmp_path / "alice.yaml")[-1] == question

    assert questions(tmp_path / "alice.yaml") == ["2+2", "2+3", "3+3"]


@pytest.mark.parametrize("command", ["cleanup_session", "reset_state"])
def test_a_session_that_ends_on_one_worker_ends_the_use_of_its_cassette(
    workers: Workers, simulator: ProviderSimulator, command: str
) -> None:
    """What was not ejected is forgotten, and the cassette is free."""
    one, other = workers("record")
    prepare(one, live(simulator), **ALICE)
    one.call("use_cassette", {**ALICE, "name": "adds"})
    ask(one, "2+2", **ALICE)

    other.call(command, ALICE)

    assert one.ask("eject_cassette", {**ALICE, "passed": True}).code == "cassette_error"
    assert one.ask("use_cassette", {"session_id": "bob", "name": "adds"}).success


def test_a_crashed_worker_takes_no_recording_along(
    workers: Workers, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    """What it recorded is with the host, and another worker ejects it."""
    one, other = workers("record", DSPEX_TESTKIT_ALLOW_CRASH="1")
    prepare(one, live(simulator), **ALICE)
    one.call("use_cassette", {**ALICE, "name": "adds"})
    ask(one, "2+2", **ALICE)
    with pytest.raises(AssertionError, match="The bridge ended instead"):
        one.ask("crash_worker")

    assert other.call("eject_cassette", {**ALICE, "passed": True})["committed"]
    assert questions(tmp_path / "adds.yaml") == ["2+2"]


def test_a_pool_that_has_ended_leaves_its_cassettes_to_others(workers: Workers) -> None:
    """Nobody is left to eject them, so they are not busy any more."""
    one, other = workers("record", pool="first")
    one.call("use_cassette", {**ALICE, "name": "adds"})
    stranger, _ = workers("record", pool="second")
    assert stranger.ask("use_cassette", {"name": "adds"}).code == "cassette_busy"

    one.close()
    other.close()

    eventually(lambda: stranger.ask("use_cassette", {"name": "adds"}).success)


def test_a_key_that_only_a_worker_knows_is_in_no_recording(workers: Workers, tmp_path: Path) -> None:
    """Neither one of a config nor one of the worker's environment, though the host writes the file."""
    named, inherited = "planted-key-of-a-config", "planted-key-of-the-environment"
    one, other = workers("record", SOME_API_KEY=inherited)
    with ProviderSimulator({"responses": {"default": f"{named} and {inherited}"}}) as careless:
        prepare(one, {**OPENAI, "api_base": f"{careless.url}/v1", "api_key": named}, **ALICE)
        one.call("use_cassette", {**ALICE, "name": "leaks"})
        ask(other, "2+2", **ALICE)
        one.call("eject_cassette", {**ALICE, "passed": True})

    written = (tmp_path / "leaks.yaml").read_text()
    assert "[redacted] and [redacted]" in written
    assert named not in written
    assert inherited not in written
