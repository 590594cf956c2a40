"""Find the Pythons that the locks are for: `python .ci/pythons.py` prints the version and the folder of each.

Beside the PATH, the places are looked into where pyenv, uv, asdf, mise, Homebrew, python.org's installer and the
machines of CI services keep theirs. What is found runs: a shim of a version that is not there does not count.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import install

FOLDERS = (
    "{PYENV_ROOT}/versions/*/bin",
    "~/.pyenv/versions/*/bin",
    "{UV_PYTHON_INSTALL_DIR}/*/bin",
    "~/.local/share/uv/python/*/bin",
    "~/.asdf/installs/python/*/bin",
    "~/.local/share/mise/installs/python/*/bin",
    "{RUNNER_TOOL_CACHE}/Python/*/*/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/opt/homebrew/bin",
    "/opt/python/*/bin",
    "/Library/Frameworks/Python.framework/Versions/*/bin",
)


def found() -> dict[tuple[int, int], Path]:
    """Name the folder of one interpreter for each version, in the order of versions."""
    first, last = install.versions()
    pythons: dict[tuple[int, int], Path] = {}
    for version in [(3, minor) for minor in range(first[1], last[1] + 1)]:
        for folder in _folders():
            python = folder / f"python{version[0]}.{version[1]}"
            if real := _real(python, version):
                pythons[version] = real.parent
                break
    return pythons


def _folders() -> list[Path]:
    folders = [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep) if each]
    for pattern in FOLDERS:
        place = re.sub(r"\{(\w+)\}", lambda match: os.environ.get(match[1], "/nowhere"), pattern)
        root, _, rest = str(Path(place).expanduser()).partition("*")
        parent = Path(root)
        folders += sorted(parent.glob(f"*{rest}"), reverse=True) if rest else [parent]
    return folders


def _real(python: Path, version: tuple[int, int]) -> Path | None:
    """Ask an interpreter for its own file; None where it does not run, or is another version's."""
    if not python.is_file():
        return None
    question = "import sys, os; print(*sys.version_info[:2]); print(os.path.realpath(sys.executable))"
    try:
        done = subprocess.run([python, "-c", question], capture_output=True, encoding="utf-8", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    said, _, executable = done.stdout.partition("\n")
    if said != f"{version[0]} {version[1]}":
        return None
    real = Path(executable.strip()).with_name(python.name)
    return real if real.exists() else python


if __name__ == "__main__":
    for (major, minor), folder in found().items():
        print(f"{major}.{minor} {folder}")
    sys.exit(0)
