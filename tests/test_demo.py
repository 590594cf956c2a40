"""The demo shows every scope, on a real process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXPECTED = [
    ("qa", "default", "google/gemini-pro", "Paris"),
    ("creative", "program", "openai/gpt-4", "Ink on wet stone"),
    ("qa", "execution", "anthropic/claude-3", "Paris, in short"),
    ("qa", "session", "google/gemini-1.5-pro", "Paris, Alice!"),
    ("qa", "default", "google/gemini-pro", "Paris"),
    ("qa", None, None, "No LM is loaded."),
]


def run_demo(*options: str, folder: Path, **env: str) -> str:
    """What the demo prints; it runs far from the checkout and says nothing on stderr."""
    command = Path(sys.executable).with_name("dspex-testkit")
    done = subprocess.run(
        [command, "demo", *options],
        cwd=folder,
        env=os.environ | {"COLUMNS": "80"} | env,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_each_execution_is_answered_by_the_lm_of_the_scope_that_decides(tmp_path: Path) -> None:
    """Default, program, execution and session each answer in turn; without any, the error says so."""
    rows = json.loads(run_demo("--json", folder=tmp_path))

    assert [(row["program"], row["scope"], row["lm"], row["answer"]) for row in rows] == EXPECTED


@pytest.mark.parametrize("rich", [True, False], ids=["rich", "plain"])
def test_the_table_shows_every_row(rich: bool, tmp_path: Path) -> None:
    """A person reads the same rows that `--json` gives to a program, with the extra `cli` or without it."""
    if not rich:
        (tmp_path / "rich.py").write_text("raise ImportError", encoding="utf-8")

    lines = run_demo(folder=tmp_path, PYTHONPATH=str(tmp_path)).splitlines()

    for row in EXPECTED:
        cells = [cell or "none" for cell in row]
        assert sum(all(cell in line for cell in cells) for line in lines) == EXPECTED.count(row), row


def test_what_the_shell_says_about_bridges_does_not_change_the_demo(tmp_path: Path) -> None:
    """A live policy or another default LM in the environment stays out of it."""
    rows = json.loads(
        run_demo(
            "--json",
            folder=tmp_path,
            DSPEX_TESTKIT_OFFLINE_POLICY="live",
            DSPEX_TESTKIT_DEFAULT_LM="openai/gpt-4o-mini",
        )
    )

    assert [row["lm"] for row in rows] == [lm for _, _, lm, _ in EXPECTED]
