"""Run tox, and end with one line that says what was skipped and what to install for it.

python .ci/checks.py [ARGUMENT OF tox run …]
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import install

COLORS = re.compile(r"\x1b\[[0-9;]*m")
SKIPPED = re.compile(r"^SKIPPED (?:\[(?P<tests>\d+)\] \S+: |(?P<check>[^:]+): )(?P<why>.+)$")
"""pytest's short summary of one reason, and the line of a check that skips itself whole."""


def main(arguments: list[str]) -> int:
    """Run the checks.

    Returns:
        The exit status of tox.
    """
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-") as place:
        results = Path(place) / "results.json"
        status = subprocess.run(
            [sys.executable, "-m", "tox", "run", "--result-json", str(results), *arguments],
            cwd=install.ROOT,
            env={**install.SETTINGS, **os.environ},
            check=False,
        ).returncode
        if results.exists():
            print(skipped(json.loads(results.read_text(encoding="utf-8"))), flush=True)
    return status


def skipped(results: dict[str, Any]) -> str:
    """Say in one line what did not run."""
    tests: dict[str, int] = {}
    found = []
    for name, environment in results["testenvs"].items():
        if environment.get("result", {}).get("skipped"):
            found.append(f"{name}: its Python was not found")
        for command in environment.get("test", []):
            for line in COLORS.sub("", command["output"]).splitlines():
                if match := SKIPPED.match(line):
                    if match["check"]:
                        found.append(f"{match['check']}: {match['why']}")
                    else:
                        tests[match["why"]] = tests.get(match["why"], 0) + int(match["tests"])
    found += [f"{count} {'test' if count == 1 else 'tests'}: {why}" for why, count in tests.items()]
    return f"Skipped: {'; '.join(found)}" if found else "Nothing was skipped."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
