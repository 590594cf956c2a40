"""Run the Elixir project's checks against a launcher installed the way a user installs it.

A machine without Elixir skips them, and says so; in CI (CI=true) that is a failure.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ELIXIR = Path(__file__).resolve().parent.parent / "elixir"
CHECKS = (
    ("compile", "--warnings-as-errors"),
    ("format", "--check-formatted"),
    ("test",),
)


def main(arguments: list[str]) -> int:
    """Run every check; arguments go to `mix test`.

    Returns:
        The exit status of the first check that failed, else 0.
    """
    mix = shutil.which("mix")
    if mix is None:
        hint = "mix is not on the PATH. On Debian: apt-get install elixir erlang-jiffy."
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            print(f"The Elixir tests may not be skipped in CI: {hint}", file=sys.stderr)
            return 1
        print(f"SKIPPED the Elixir tests: {hint}")
        return 0
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-") as place:
        subprocess.run(["dspex-testkit", "install", place], check=True)
        env = os.environ | {
            "MIX_ENV": "test",
            "DSPEX_TESTKIT_PYTHON_EXECUTABLE": sys.executable,
            "DSPEX_TESTKIT_SCRIPT": str(Path(place) / "dspy_bridge.py"),
        }
        for check in CHECKS:
            command = [mix, *check, *(arguments if check == ("test",) else ())]
            print("$ mix", *command[1:], flush=True)
            status = subprocess.run(command, cwd=ELIXIR, env=env, check=False).returncode
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
