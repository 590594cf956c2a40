#!/usr/bin/env python3
"""DSPex's Python bridge, answered by dspex-testkit.

Written by `dspex-testkit install`; `dspex-testkit uninstall` takes it away again. Settings stand beside it, in
dspex_testkit.toml, or in the environment. DSPex may start this file with any python3 it finds: it looks for the kit's
interpreter by itself, and DSPEX_TESTKIT_PYTHON names another one.
"""

# Any Python from 3.8 on must be able to read this file, and nothing heavy may be imported: the first ping waits for it.
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KIT: "dict[str, Any]" = {}  # filled in by the installation

EXECED = "DSPEX_TESTKIT_EXECED"


class DSPyBridge:
    """A bridge in this process, for code that imports this file instead of running it."""

    def __init__(self, mode: "Any" = "standalone", worker_id: "str | None" = None) -> None:
        if not find_kit():
            raise ImportError(explain())
        from dspex_testkit.launch.embedded import EmbeddedBridge

        self._bridge = EmbeddedBridge(mode, worker_id, home=home())

    def handle_command(self, command: str, args: "dict[str, Any]") -> "dict[str, Any]":
        """Answer one command with its result; raises RuntimeError where it fails."""
        return self._bridge.handle_command(command, args)


def main() -> None:
    """Serve the client at standard input and output."""
    chosen = os.environ.get("DSPEX_TESTKIT_PYTHON")
    if os.environ.pop(EXECED, None) is None:
        python = chosen or KIT.get("python")
        if python and (chosen or not same_interpreter()) and not is_running(python):
            run_with(python)
    if not find_kit():
        sys.exit(explain())
    from dspex_testkit.launch.main import main as serve

    serve(home=home())


def same_interpreter() -> bool:
    """Whether the Python that runs can load what was installed for the kit's."""
    return [sys.base_prefix, sys.implementation.cache_tag, list(sys.version_info[:3])] == KIT.get("base")


def is_running(python: str) -> bool:
    """Whether an interpreter is the one that runs now, environment and all."""
    return bool(sys.executable) and os.path.abspath(python) == os.path.abspath(sys.executable)


def run_with(python: str) -> None:
    """Become that interpreter, under the same process id and with a command line that still names this file."""
    os.environ[EXECED] = "1"
    try:
        os.execvp(python, [python, os.path.abspath(__file__), *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"dspy_bridge.py: cannot run {python}: {error.strerror}\n{ADVICE}")


def find_kit() -> bool:
    """Make the kit importable, in the way its own interpreter would find it."""
    if KIT and sys.prefix != KIT["prefix"] and same_interpreter() and not os.environ.get("DSPEX_TESTKIT_PYTHON"):
        asked = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:] = asked + KIT["path"]
        # What this process starts as "Python" should find the same packages.
        sys.executable = KIT["python"]
    try:
        import dspex_testkit  # noqa: F401
    except ImportError:
        return False
    return True


def explain() -> str:
    """Why there is no bridge, and what to do."""
    return f"dspy_bridge.py: {sys.executable} has no dspex-testkit\n{ADVICE}"


def home() -> str:
    """The folder of this file, where its settings are."""
    return os.path.dirname(os.path.abspath(__file__))


ADVICE = (
    f"The environment that installed this launcher ({KIT.get('prefix', 'unknown')}) was moved or removed. Run "
    f"'dspex-testkit install {home()}' from the one to be used, or name its interpreter in DSPEX_TESTKIT_PYTHON."
)

if __name__ == "__main__":
    main()
