"""The harness is light, and knows no bridge."""

import subprocess
import sys


def test_importing_the_harness_imports_no_bridge() -> None:
    """Neither dspy nor any room below it that knows dspy."""
    code = (
        "import sys, dspex_testkit.pool\n"
        "heavy = {'dspy', 'pydantic', 'orjson', 'dspex_testkit.bridge', 'dspex_testkit.lm', 'dspex_testkit.runtime'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
