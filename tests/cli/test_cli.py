"""The command line says what it did, what to do next, and what went wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dspex_testkit.cli import main
from dspex_testkit.setting_table import SETTINGS


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    """Status, output and errors of one call."""
    status = main([str(argument) for argument in argv])
    out, err = capsys.readouterr()
    return status, out, err


def test_install_prints_what_dspex_has_to_be_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The config lines, and the key that nobody reads."""
    status, out, _ = run(capsys, "install", tmp_path / "priv" / "python")
    assert status == 0
    assert f"python_executable: {json.dumps(sys.executable)}" in out
    assert 'script_path: "python/dspy_bridge.py"' in out
    assert "export GEMINI_API_KEY=offline" in out


def test_in_place_and_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What was there is mentioned both times."""
    launcher = tmp_path / "dspy_bridge.py"
    launcher.write_text("theirs", encoding="utf-8")
    status, _, err = run(capsys, "install", tmp_path)
    assert status == 2
    assert "--in-place" in err
    _, out, _ = run(capsys, "install", tmp_path, "--in-place")
    assert "uninstall" in out
    _, out, _ = run(capsys, "uninstall", tmp_path)
    assert f"Brought back {launcher}" in out
    assert launcher.read_text(encoding="utf-8") == "theirs"


def test_doctor_finds_a_fresh_installation_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every check of DSPex's, and one real execution."""
    run(capsys, "install", tmp_path)
    status, out, _ = run(capsys, "doctor", tmp_path)
    assert status == 0
    for step in ("interpreter", "script's text", "dspy", "settings", "start", "execute", "shutdown"):
        assert f"ok      {step}: " in out


def test_doctor_speaks_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """For scripts."""
    status, out, _ = run(capsys, "doctor", tmp_path, "--json")
    report = json.loads(out)
    assert status == 1
    assert report["ok"] is False
    assert report["steps"][-1]["name"] == "script"
    assert report["steps"][-1]["advice"] == f"run 'dspex-testkit install {tmp_path}'"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class DSPyBridge: ...", "it lacks def handle_command, def main"),
        ("class DSPyBridge: ...\ndef handle_command(): ...\ndef main(): ...", "not the launcher of this kit"),
    ],
)
def test_doctor_says_what_is_wrong_with_the_script(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, says: str
) -> None:
    """And how to mend it."""
    (tmp_path / "dspy_bridge.py").write_text(text, encoding="utf-8")
    status, out, _ = run(capsys, "doctor", tmp_path)
    assert status == 1
    assert says in out
    assert "--in-place" in out


def test_doctor_says_what_is_wrong_with_the_interpreter(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Missing, no Python at all, or without dspy."""
    run(capsys, "install", tmp_path)
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    for python, says in [
        ("no-such-python", "is not on the path"),
        ("true", "names its version"),
        (bare, "No module named"),
    ]:
        status, out, _ = run(capsys, "doctor", tmp_path, "--python", python)
        assert status == 1
        assert says in out


def test_doctor_says_what_is_wrong_with_the_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Those that a look at the file shows, and those that only a start shows."""
    run(capsys, "install", tmp_path)
    config = tmp_path / "dspex_testkit.toml"
    config.write_text("sed = 5", encoding="utf-8")
    status, out, _ = run(capsys, "doctor", tmp_path)
    assert status == 1
    assert "did you mean 'seed'" in out
    config.write_text('[default_lm]\nprovider = "nobody"\nmodel = "x"', encoding="utf-8")
    status, out, _ = run(capsys, "doctor", tmp_path)
    assert status == 1
    assert "ended with status 2" in out


def test_settings_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """As text and as a table."""
    for argv in (["settings"], ["settings", "--markdown"]):
        status, out, _ = run(capsys, *argv)
        assert status == 0
        assert [setting.env for setting in SETTINGS if setting.env not in out] == []


def test_a_command_that_is_none_lists_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    """With status 2, as every usage error."""
    with pytest.raises(SystemExit) as caught:
        main(["instal"])
    assert caught.value.code == 2
    assert "install" in capsys.readouterr().err


def test_bridge_serves_as_dspex_bridge_does() -> None:
    """The two are one program."""
    for command in (["bridge", "--help"], ["bridge"]):
        done = subprocess.run(
            [sys.executable, "-m", "dspex_testkit.cli", *command], stdin=subprocess.DEVNULL, capture_output=True
        )
        assert done.returncode == 0
        assert (b"--offline-policy" in done.stdout) is (len(command) == 2)
