"""Under pytest-xdist: the same answers, one merged journal, and nothing that needs a shared file system."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspex_testkit.plugin.journal_files import read_journal

pytest_plugins = ["pytester"]

SUITE = """
    import dspy
    import pytest

    @pytest.mark.lm(mode="random")
    @pytest.mark.parametrize("number", range(6))
    def test_random(bridge, number):
        qa = bridge.create_program("question -> answer")
        qa(question=str(number))
        qa(question="the same")

    def test_place(bridge, record_property):
        import os
        record_property("cwd", os.getcwd())
        assert bridge.create_program("question -> answer", lm="openai/gpt-4o")(question="?").answer
        assert 0
"""


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(test_it=SUITE)


def answers(path: Path) -> dict[str, list[object]]:
    """What each test heard."""
    return {test.nodeid: [call.outputs for call in test.calls] for test in read_journal(path).tests}


def test_the_same_seed_gives_the_same_answers_at_any_n(pytester: pytest.Pytester) -> None:
    """Spread over processes, with pools, or alone: a test hears the same, and the journal of all has each once."""
    alone = pytester.runpytest_inprocess("--lm-seed=9", "--lm-journal=alone.jsonl")
    spread = pytester.runpytest_subprocess(
        "-n2", "--lm-seed=9", "--lm-journal=spread.jsonl", "--bridge-mode=standalone", "--lm-artifacts=kept"
    )

    for run in (alone, spread):
        run.assert_outcomes(passed=6, failed=1)
        run.stdout.fnmatch_lines(["13 calls in 7 tests: mock/mock 12, openai/gpt-4o 1"])
    assert answers(pytester.path / "alone.jsonl") == answers(pytester.path / "spread.jsonl")
    assert {test.process for test in read_journal(pytester.path / "spread.jsonl").tests} == {"gw0", "gw1"}
    assert (pytester.path / "kept" / "test_it.py-test_place" / "standalone.log").exists()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """An execnet server with a folder of its own, as another machine would have one; gives its address."""
    folder = tmp_path / "other-machine"
    folder.mkdir()
    # It takes no port 0 but prints the address that it was given, so the system is asked for a free one first.
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "execnet.script.socketserver", f"127.0.0.1:{port}"],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    assert "Entering Accept loop" in server.stdout.readline()
    yield f"127.0.0.1:{port}"
    server.kill()
    server.wait()
    server.stdout.close()


def test_the_session_of_xdist_can_still_be_stopped(pytester: pytest.Pytester) -> None:
    """The canary: `--lm-budget` ends a distributed run by the attribute of xdist's own session that says so."""
    pytester.makeconftest(
        """
        def pytest_configure(config):
            pytest_runtest_logreport.config = config

        def pytest_runtest_logreport(report):
            session = pytest_runtest_logreport.config.pluginmanager.get_plugin("dsession")
            if session is not None and not session.shouldstop:
                session.shouldstop = "spent"
        """
    )
    pytester.makepyfile("""
        import pytest

        @pytest.mark.parametrize("number", range(200))
        def test_it(number):
            pass
    """)

    run = pytester.runpytest_subprocess("-n", "2")

    assert run.ret == pytest.ExitCode.INTERRUPTED
    run.stdout.fnmatch_lines(["*spent*"])
    assert run.parseoutcomes()["passed"] < 200


def test_workers_on_another_machine_bring_their_calls_home(pytester: pytest.Pytester, elsewhere: str) -> None:
    """Journal and artifacts are written where the run is controlled, whatever the workers' disks are."""
    run = pytester.runpytest_subprocess(
        "--dist=load",
        f"--tx=socket={elsewhere}",
        f"--rsyncdir={pytester.path / 'test_it.py'}",
        "--lm-journal=home.jsonl",
        "--lm-artifacts=kept",
        "-k",
        "place or 0",
    )

    run.assert_outcomes(passed=1, failed=1)
    journal = read_journal(pytester.path / "home.jsonl")
    assert sorted(len(test.calls) for test in journal.tests) == [1, 2]
    kept = list((pytester.path / "kept").glob("*test_place/calls.jsonl"))
    assert len(kept) == 1
    assert re.search(r'"model": ?"gpt-4o"', kept[0].read_text(encoding="utf-8"))
