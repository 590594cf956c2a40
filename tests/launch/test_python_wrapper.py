"""The interpreter for DSPex: its probes are answered as the real one answers them, only sooner."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dspex_testkit.cli import main
from dspex_testkit.errors import UsageError
from dspex_testkit.host.place import System
from dspex_testkit.launch.doctor import examine
from dspex_testkit.launch.install import install, install_python, uninstall
from tests.support.bridges import Process

PROBES = [
    ("--version",),
    ("-c", "import dspy; print(dspy.__version__)"),
    ("-c", "import dspy"),
    ("-c", "import pydantic"),
    ("-c", "import json"),
    ("-c", "import no_such_package"),
    ("-c", "import os.path"),
    ("-c", "import dspy; print(1)"),
    ("-c", "import sys; print(sys.argv)", "a b", "$HOME"),
]


@pytest.fixture
def wrapper(tmp_path: Path) -> Path:
    """An installed wrapper, in a folder whose name a shell would split."""
    folder = tmp_path / "priv of mine" / "python"
    install(folder)
    return install_python(folder)


def run(python: Path | str, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Status, output and the last line of what went wrong."""
    variables = {**os.environ, "PYTHONPATH": "", **(env or {})}
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False, env=variables)
    return done.returncode, done.stdout, done.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize("probe", PROBES, ids=" ".join)
def test_every_question_has_the_answer_of_the_real_interpreter(wrapper: Path, probe: tuple[str, ...]) -> None:
    """DSPex's own ones, and any other."""
    assert run(wrapper, *probe) == run(sys.executable, *probe)


def test_the_probes_import_nothing(wrapper: Path) -> None:
    """Which is what they are for: an interpreter that would fail is never run."""
    text = wrapper.read_text(encoding="utf-8")
    broken = wrapper.with_name("broken")
    broken.write_text("#!/bin/sh\nexit 9\n", encoding="utf-8")
    broken.chmod(0o755)
    line = next(line for line in text.splitlines() if line.startswith("python="))
    wrapper.write_text(text.replace(line, f"python='{broken}'"), encoding="utf-8")

    assert [run(wrapper, *probe)[0] for probe in PROBES[1:4]] == [0, 0, 0]
    assert run(wrapper, "-c", "import json")[0] == 9


def test_a_search_path_of_the_users_is_asked(wrapper: Path, tmp_path: Path) -> None:
    """Another dspy may stand there."""
    (tmp_path / "dspy.py").write_text("__version__ = 'mine'\n", encoding="utf-8")
    assert run(wrapper, *PROBES[1], env={"PYTHONPATH": str(tmp_path)})[1] == "mine\n"


def test_a_bridge_starts_with_it(wrapper: Path) -> None:
    """The process becomes the real interpreter, under the launcher's name."""
    with Process(argv=[str(wrapper.parent / "dspy_bridge.py")], python=str(wrapper)) as bridge:
        assert bridge.call("ping")["status"] == "ok"
        assert "dspy_bridge.py" in Path(f"/proc/{bridge.process.pid}/cmdline").read_text(encoding="utf-8")


def test_doctor_knows_it(wrapper: Path) -> None:
    """It names the real one, and asks it whether the wrapper is right."""
    steps = {step.name: step for step in examine(wrapper.parent, python=str(wrapper))}
    assert all(step.ok for step in steps.values())
    assert sys.executable in steps["interpreter"].found

    text = wrapper.read_text(encoding="utf-8").replace(sys.executable, "/nowhere/python")
    wrapper.write_text(text, encoding="utf-8")
    first = next(iter(examine(wrapper.parent, python=str(wrapper))))
    assert not first.ok
    assert "which is gone" in first.found


def test_doctor_tells_what_is_shared(wrapper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is not, where there is no host."""

    def found(system: System | None = None) -> str:
        return next(step for step in examine(wrapper.parent, system=system) if step.name == "warm host").found

    alone = "each bridge loads DSPy by itself, and the workers of a pool share no programs, LMs, sessions or calls"

    assert found() == "bridges are forked from it, and the workers of a pool share their state"
    assert found(System("darwin")) == (
        f"none, because macOS does not promise that a process which has loaded its libraries can be forked: {alone}"
    )
    assert found(System("linux", longest_path=5)).endswith(f"is too long for a socket (at most 5 bytes): {alone}")
    monkeypatch.setenv("DSPEX_TESTKIT_HOST", "off")
    assert found() == f"switched off: {alone}"


def test_it_is_opt_in_named_and_taken_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints what DSPex has to be told."""
    assert main(["install", str(tmp_path)]) == 0
    assert not (tmp_path / "dspex_python").exists()
    assert main(["install", "--python", str(tmp_path)]) == 0
    assert f'python_executable: "{tmp_path}/dspex_python"' in capsys.readouterr().out
    assert tmp_path / "dspex_python" in uninstall(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    """Nor taken away."""
    install(tmp_path)
    (tmp_path / "dspex_python").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="is not ours"):
        install_python(tmp_path)
    uninstall(tmp_path)
    assert (tmp_path / "dspex_python").read_text(encoding="utf-8") == "mine"
