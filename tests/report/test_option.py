"""`pytest --lm-report` draws the calls of a run."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUITE = """
import pytest

def test_one(bridge):
    qa = bridge.create_program("question -> answer", lm="openai/gpt-4o-mini")
    assert qa(question="first").answer
    assert qa.execute(question="second", lm="anthropic/claude-3").answer

@pytest.mark.parametrize("number", range(3))
def test_other(bridge, number):
    bridge.configure_lm("google/gemini-pro")
    assert bridge.create_program("question -> answer")(question=f"number {number}").answer
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A folder with four tests that lead to five LM calls."""
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    settings = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    (tmp_path / "pytest.ini").write_text(settings, encoding="utf-8")
    return tmp_path


def run(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """One run of pytest."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, text=True, encoding="utf-8", capture_output=True, check=False)


def data_of(path: Path) -> Any:
    """What a page carries."""
    found = re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found
    return json.loads(found[1])


def test_the_report_has_the_calls_of_all_tests(suite: Path) -> None:
    """With their tests, changes and switches; the terminal says where it is."""
    done = run(suite, "--lm-report=out/report.html")

    assert done.returncode == 0, done.stdout
    assert f"drawn in {suite / 'out' / 'report.html'}" in done.stdout
    data = data_of(suite / "out" / "report.html")
    calls = [entry for entry in data["entries"] if "number" in entry]
    assert [call["inputs"]["question"] for call in calls] == ["first", "second", *(f"number {n}" for n in range(3))]
    assert [call["scope"] for call in calls] == ["program", "execution", "global", "global", "global"]
    assert [call["switched_from"] for call in calls] == [None, 0, None, None, None]
    assert data["tests"]["test_suite.py::test_one"]["outcome"] == "passed"
    assert len(data["entries"]) - len(calls) == 3


def test_calls_of_parallel_processes_are_merged(suite: Path) -> None:
    """pytest-xdist changes nothing, and the ini key does what the option does."""
    with (suite / "pytest.ini").open("a", encoding="utf-8") as ini:
        ini.write("lm_report = report.html\n")
    done = run(suite, "-n2")

    assert done.returncode == 0, done.stdout
    calls = [entry for entry in data_of(suite / "report.html")["entries"] if "number" in entry]
    assert len(calls) == 5
    assert len({call["test"] for call in calls}) == 4


def test_a_run_without_calls_has_a_report(suite: Path) -> None:
    """So that nobody finds an old one, or none."""
    (suite / "test_suite.py").write_text("def test_nothing(): pass\n", encoding="utf-8")
    done = run(suite, "--lm-report=report.html")

    assert done.returncode == 0, done.stdout
    assert data_of(suite / "report.html")["entries"] == []


def test_a_report_that_cannot_be_written_fails_the_run(suite: Path) -> None:
    """Whoever wants one is not to miss that there is none."""
    done = run(suite, "--lm-report=pytest.ini/report.html")

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--lm-report: Cannot write the report" in done.stdout


def test_a_report_that_cannot_be_drawn_ends_the_run_at_once(suite: Path) -> None:
    """Before any test: the extra is missing."""
    absent = (
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'jinja2' else find(name, *rest)\n"
    )
    (suite / "without_jinja2.py").write_text(absent, encoding="utf-8")
    done = run(suite, "-p", "without_jinja2", "--lm-report=report.html")

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "pip install 'dspex-testkit[report]'" in done.stderr
