"""The one file that DSPex starts: found by its text checks, at home in any folder and under any interpreter."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import dspex_testkit
from dspex_testkit.launch.install import install
from tests.support.bridges import Process

POOL = ["--mode", "pool-worker", "--worker-id", "worker_1_1"]
MOCK = {"provider": "mock", "responses": {"default": "Paris"}}


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """A launcher as an installation writes it."""
    return install(tmp_path / "priv" / "python")


@pytest.fixture
def other_python(tmp_path: Path) -> str:
    """An interpreter without the kit: a fresh virtual environment of the same base."""
    home = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    return str(home / "bin" / "python")


def as_other_version(launcher: Path) -> None:
    """Pretend that the kit's interpreter is of another version than the one that will run."""
    text = launcher.read_text(encoding="utf-8")
    launcher.write_text(text.replace(sys.implementation.cache_tag, "cpython-399"), encoding="utf-8")


def test_the_text_satisfies_the_checks_of_dspex(launcher: Path) -> None:
    """They are regular expressions over the file, and its name is looked for in process lists."""
    text = launcher.read_text(encoding="utf-8")
    for pattern in (r"class DSPyBridge", r"def handle_command", r"def main\(\)"):
        assert re.search(pattern, text)
    assert launcher.name == "dspy_bridge.py"
    assert os.access(launcher, os.X_OK)


def test_an_old_python_can_read_it(launcher: Path) -> None:
    """DSPex may find Python 3.8 first."""
    ast.parse(launcher.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_it_runs_from_any_folder(launcher: Path, tmp_path: Path) -> None:
    """A file of the working directory is not taken for a library."""
    (tmp_path / "json.py").write_text("raise RuntimeError", encoding="utf-8")
    (launcher.parent / "dspy.py").write_text("raise RuntimeError", encoding="utf-8")
    with Process(argv=[str(launcher), *POOL], cwd=tmp_path) as bridge:
        assert bridge.call("ping")["worker_id"] == "worker_1_1"


def test_it_becomes_the_kits_interpreter_under_the_same_process_id(launcher: Path, other_python: str) -> None:
    """Reapers look for the file's name and the mode in the command line."""
    as_other_version(launcher)
    with Process(argv=[str(launcher), *POOL], python=other_python) as bridge:
        assert bridge.call("ping")["mode"] == "pool-worker"
        process = psutil.Process(bridge.process.pid)
        assert process.children() == []
        assert process.cmdline() == [sys.executable, str(launcher), *POOL]


def test_an_interpreter_of_the_same_build_goes_on_by_itself(launcher: Path, other_python: str) -> None:
    """It is given the kit's search path, and what it starts finds the same packages."""
    with Process(argv=[str(launcher)], python=other_python) as bridge:
        result = bridge.call("predict", {"signature": "q -> a", "inputs": {"q": "?"}, "lm_config": MOCK})
        assert result["outputs"] == {"a": "Paris"}
        assert psutil.Process(bridge.process.pid).cmdline() == [other_python, str(launcher)]


def test_the_interpreter_can_be_named(launcher: Path, other_python: str) -> None:
    """Also by a name on the path, and also where it is a wrapper that starts another process."""
    wrapper = launcher.parent / "wrapped-python"
    wrapper.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    path = os.pathsep.join([str(launcher.parent), os.environ["PATH"]])
    for python in (sys.executable, "wrapped-python"):
        env = {"DSPEX_TESTKIT_PYTHON": python, "PATH": path}
        with Process(argv=[str(launcher)], python=other_python, env=env) as bridge:
            assert bridge.call("ping")["status"] == "ok"


@pytest.mark.parametrize("chosen", ["nowhere", "without the kit"])
def test_an_interpreter_that_cannot_serve_is_a_clear_error(launcher: Path, other_python: str, chosen: str) -> None:
    """Named, with what to do."""
    python = str(launcher.parent / "gone") if chosen == "nowhere" else other_python
    done = subprocess.run(
        [sys.executable, str(launcher)],
        env={**os.environ, "DSPEX_TESTKIT_PYTHON": python, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert python in done.stderr
    assert f"dspex-testkit install {launcher.parent}" in done.stderr


@pytest.mark.parametrize("same_build", [True, False])
def test_a_removed_environment_is_a_clear_error(launcher: Path, other_python: str, same_build: bool) -> None:
    """The launcher outlives the environment that installed it."""
    text = launcher.read_text(encoding="utf-8")
    package = str(Path(dspex_testkit.__file__).parents[1])
    for path in (sys.prefix, package):
        text = text.replace(path, str(launcher.parent / "gone"))
    launcher.write_text(text, encoding="utf-8")
    if not same_build:
        as_other_version(launcher)
    env = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [other_python, str(launcher)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=env
    )
    assert done.returncode != 0
    assert "was moved or removed" in done.stderr


def test_the_settings_file_beside_it_is_read(launcher: Path) -> None:
    """Argv and environment are DSPex's."""
    config = launcher.parent / "dspex_testkit.toml"
    config.write_text('default_lm = "anthropic/claude-3"\nlog = "bridge.log"\n', encoding="utf-8")
    with Process(argv=[str(launcher)]) as bridge:
        assert bridge.call("get_lm")["lm"]["model"] == "claude-3"
    assert "standalone started" in (launcher.parent / "bridge.log").read_text(encoding="utf-8")


def test_the_class_in_it_answers_in_process(launcher: Path, tmp_path: Path) -> None:
    """For code that imports the file instead of running it; nothing of it stays behind."""
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("dspy_bridge", {str(launcher)!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
bridge = module.DSPyBridge(mode="pool-worker", worker_id="w")
assert bridge.handle_command("ping", {{}})["worker_id"] == "w"
try:
    bridge.handle_command("execute_program", {{"program_id": "none"}})
except RuntimeError as error:
    print(error)
"""
    env = {**os.environ, "TMPDIR": str(tmp_path / "scratch"), "DSPY_CACHEDIR": ""}
    (tmp_path / "scratch").mkdir()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "Program not found" in done.stdout
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.fixture
def former(launcher: Path) -> Path:
    """A launcher as installations wrote it when what it imports was in another room."""
    text = launcher.read_text(encoding="utf-8")
    for name in ("main", "embedded"):
        assert f"from dspex_testkit.launch.{name} import" in text
        text = text.replace(f"dspex_testkit.launch.{name}", f"dspex_testkit.runtime.{name}")
    launcher.write_text(text, encoding="utf-8")
    return launcher


def test_a_launcher_that_was_installed_before_still_serves(former: Path) -> None:
    """The paths that it names are kept as doors."""
    with Process(argv=[str(former), *POOL]) as bridge:
        assert bridge.call("ping")["status"] == "ok"
        assert bridge.call("list_programs")["programs"] == []


def test_a_launcher_that_was_installed_before_can_still_be_imported(former: Path) -> None:
    """Its class answers in process."""
    code = "import dspy_bridge; print(dspy_bridge.DSPyBridge().handle_command('ping', {})['status'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=former.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "ok\n"


def test_the_module_can_be_run_where_it_was_before() -> None:
    """Whoever starts ``python -m`` has its name in a configuration."""
    with Process(argv=["-m", "dspex_testkit.runtime.main", *POOL]) as bridge:
        assert bridge.call("ping")["status"] == "ok"


def test_a_python_on_the_path_with_nothing_installed_will_do(launcher: Path) -> None:
    """What `python3` is on this machine, whatever it is."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    with Process(argv=[str(launcher), *POOL], python=python) as bridge:
        assert bridge.call("ping")["status"] == "ok"
