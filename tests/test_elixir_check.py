"""The Elixir checks are never skipped where nobody would notice."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / ".ci" / "elixir.py"


def run_without_mix(folder: Path, *, ci: str) -> subprocess.CompletedProcess[str]:
    """The script on a machine whose PATH has no `mix`."""
    env = os.environ | {"PATH": str(folder), "CI": ci}
    return subprocess.run([sys.executable, SCRIPT], env=env, capture_output=True, encoding="utf-8", check=False)


def test_without_mix_a_person_is_told_what_was_skipped(tmp_path: Path) -> None:
    """A contributor without Elixir can still run everything else."""
    done = run_without_mix(tmp_path, ci="")

    assert done.returncode == 0
    assert "SKIPPED the Elixir tests" in done.stdout
    assert "apt-get install elixir erlang-jiffy" in done.stdout


def test_without_mix_ci_fails(tmp_path: Path) -> None:
    """In CI a missing Elixir is a failure, not a skip."""
    done = run_without_mix(tmp_path, ci="true")

    assert done.returncode == 1
    assert "may not be skipped in CI" in done.stderr
