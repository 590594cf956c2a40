"""Workers forked from a warm host are workers like any other."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dspex_testkit.errors import PoolError, WorkerExitedError
from dspex_testkit.pool import V2, BridgePool, BridgeProcess, Ending, Launch, WarmStarter, chaos, leftovers
from tests.pool.conftest import ALONE, MOCKED, patient

WARM = replace(MOCKED, starter=WarmStarter())


@pytest.fixture
def pool() -> Iterator[BridgePool]:
    """Two forked workers."""
    with BridgePool(2, launch=WARM, dialect=patient(V2), eager=True) as pool:
        yield pool


def test_they_answer_and_end_as_others_do(pool: BridgePool) -> None:
    """In their sessions, under their names, with status 0."""
    alice = pool.session("alice")
    alice.call("create_program", {"id": "p", "signature": "question -> answer"})
    run = {"program_id": "p", "inputs": {"question": "Who?"}}

    assert all(alice.call("execute_program", run)["answer"] for _ in range(4))
    assert {pool.call("ping")["worker_id"] for _ in range(2)} == set(pool.processes())

    pids = {worker.pid for worker in pool.status().workers}
    pool.stop()
    assert pool.endings == [Ending("command", 0)] * 2
    assert not pids & set(leftovers.left())


def test_one_that_is_killed_is_replaced(pool: BridgePool) -> None:
    """With the status that the signal gave it."""
    first = next(iter(pool.processes().values()))

    chaos.kill(first)

    assert first.exit_status == 137
    with pytest.raises(WorkerExitedError, match="SIGKILL"):
        first.ask("ping")
    with pool.checkout() as one, pool.checkout() as two:
        assert [worker.call("ping")["status"] for worker in (one, two)] == ["ok", "ok"]


def test_without_a_host_a_process_is_started() -> None:
    """The same starter does both."""
    with BridgeProcess(replace(ALONE, starter=WarmStarter()), dialect=V2) as process:
        assert process.call("ping")["status"] == "ok"


def test_another_interpreter_is_the_one_that_runs(tmp_path: Path) -> None:
    """A fork would be of this process's own, whatever the launch says."""
    other, ran = tmp_path / "python", tmp_path / "ran"
    other.write_text(f'#!/bin/sh\n: > {ran}\nexec {sys.executable} "$@"\n', encoding="utf-8")
    other.chmod(0o755)
    with BridgeProcess(replace(WARM, python=str(other)), dialect=V2) as process:
        assert process.call("ping")["status"] == "ok"
    assert ran.exists()


@pytest.mark.parametrize("launch", [MOCKED, WARM], ids=["started", "forked"])
def test_a_working_directory_that_is_not_there_is_named(launch: Launch, tmp_path: Path) -> None:
    """Whoever starts the process."""
    with pytest.raises(PoolError, match=f"{tmp_path / 'gone'}.*No such|No such.*{tmp_path / 'gone'}"):
        BridgeProcess(replace(launch, cwd=tmp_path / "gone"), dialect=V2).start()


def test_pools_of_one_process_share_nothing(pool: BridgePool) -> None:
    """Though their workers come from one host; what one forgets, the other still has."""
    create = {"id": "p", "signature": "question -> answer"}
    pool.call("create_program", create)
    pool.call("configure_lm", {"provider": "mock", "model": "ours"})
    with BridgePool(1, launch=WARM, dialect=patient(V2)) as other:
        assert other.call("list_programs")["programs"] == []
        assert other.call("get_lm")["lm"]["scope"] == "default"
        other.call("create_program", create)
        other.call("reset_state")

    assert [program["id"] for program in pool.call("list_programs")["programs"]] == ["p"]
    assert pool.call("get_lm")["lm"]["model"] == "ours"


def test_pools_that_are_given_one_name_share_their_state(pool: BridgePool) -> None:
    """For whoever wants it so."""
    named = WARM.with_env(DSPEX_TESTKIT_POOL="ours")
    with (
        BridgePool(1, launch=named, dialect=patient(V2)) as one,
        BridgePool(1, launch=named, dialect=patient(V2)) as other,
    ):
        one.call("create_program", {"id": "p", "signature": "question -> answer"})
        assert [program["id"] for program in other.call("list_programs")["programs"]] == ["p"]
