"""The protocol stays light, because it is loaded before the first ping is answered."""

import subprocess
import sys


def test_the_protocol_imports_nothing_heavy() -> None:
    """In a fresh interpreter neither dspy nor any slow module comes along."""
    heavy = {"dspy", "pydantic", "orjson", "dataclasses", "typing", "pathlib", "argparse", "logging", "threading"}
    code = "import sys; old = set(sys.modules); import dspex_testkit.protocol; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(done.stdout.split())
