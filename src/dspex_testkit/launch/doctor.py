"""Replays what DSPex checks before it starts Python, and then a real start, and says what to mend.

The first six steps are those of DSPex's `EnvironmentCheck`, in its order and with its patterns; a step that fails
there keeps DSPex from starting any bridge.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dspex_testkit.errors import UsageError
from dspex_testkit.host.contact import lock
from dspex_testkit.host.place import System, Unavailable, find_place
from dspex_testkit.launch.install import LAUNCHER, is_ours
from dspex_testkit.launch.probe import Probe, ProbeError
from dspex_testkit.launch.python_wrapper import is_wrapper, wrapped
from dspex_testkit.runtime.settings import load

_WANTED_TEXT = (r"class DSPyBridge", r"def handle_command", r"def main\(\)")
_OLDEST = (3, 8, 0)
_PATIENCE = 60.0
# JSON writes a string as Elixir does; Python's single quotes would make it a charlist.
_CONFIG_LINE = f"config :dspex, :python_bridge, python_executable: {json.dumps(sys.executable)}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was checked."""

    name: str
    ok: bool
    found: str
    """What was seen."""
    advice: str | None = None
    """What to do; None where there is nothing to do."""


class _Failed(Exception):
    """A step's bad end; later steps that need it are not tried."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice


def examine(folder: Path, *, python: str | None = None, system: System | None = None) -> Iterator[Step]:
    """Check an installation, one step after the other, up to the first that fails.

    Args:
        folder: Where the launcher is.
        python: What DSPex is configured to run; the interpreter of this process if None.
        system: The operating system that bridges are to run on; this one if None.
    """
    executable = python or sys.executable
    launcher = folder / LAUNCHER
    steps: list[tuple[str, Callable[[], str]]] = [
        ("interpreter", lambda: _interpreter(executable)),
        ("its version", lambda: _version(executable)),
        ("script", lambda: _script(launcher)),
        ("script's text", lambda: _text(launcher)),
        ("dspy", lambda: _dspy(executable)),
        ("packages", lambda: _packages(executable)),
        ("settings", lambda: _settings(folder)),
        ("warm host", lambda: _host(folder, system)),
    ]
    for name, check in steps:
        step = _try(name, check)
        yield step
        if not step.ok:
            return
    yield _key()
    yield from _launch(executable, launcher)


def _try(name: str, check: Callable[[], str]) -> Step:
    try:
        return Step(name, True, check())
    except _Failed as failure:
        return Step(name, False, failure.found, failure.advice)


def _interpreter(python: str) -> str:
    found = shutil.which(python)
    if found is None:
        raise _Failed(
            f"{python} is not on the path",
            f"name an interpreter: {_CONFIG_LINE}",
        )
    if not is_wrapper(Path(found)):
        return found
    real = wrapped(Path(found))
    if shutil.which(real) is None:
        raise _Failed(f"{found} runs {real}, which is gone", "run 'dspex-testkit install --python' again")
    return f"{found}, which answers DSPex's probes and runs {real} for everything else"


def _version(python: str) -> str:
    said = _run(python, "--version").stdout.strip()
    match = re.search(r"Python (\d+)\.(\d+)\.(\d+)", said)
    if match is None:
        raise _Failed(f"'{python} --version' says {said!r}", "DSPex needs an interpreter that names its version")
    if tuple(map(int, match.groups())) < _OLDEST:
        raise _Failed(said, f"DSPex needs Python {'.'.join(map(str, _OLDEST))} or newer")
    return said


def _script(launcher: Path) -> str:
    if not launcher.is_file() or not os.access(launcher, os.R_OK):
        state = "is no readable file" if os.path.lexists(launcher) else "does not exist"
        raise _Failed(f"{launcher} {state}", f"run 'dspex-testkit install {launcher.parent}'")
    return str(launcher)


def _text(launcher: Path) -> str:
    text = launcher.read_text(encoding="utf-8", errors="replace")
    missing = [pattern for pattern in _WANTED_TEXT if not re.search(pattern, text)]
    if missing:
        raise _Failed(f"it lacks {', '.join(missing)}", f"run 'dspex-testkit install {launcher.parent} --in-place'")
    if not is_ours(launcher):
        raise _Failed(
            "DSPex would take it, but it is not the launcher of this kit",
            f"run 'dspex-testkit install {launcher.parent} --in-place', which puts it aside",
        )
    return "has what DSPex looks for"


def _dspy(python: str) -> str:
    done = _run(python, "-c", "import dspy; print(dspy.__version__)")
    if done.returncode != 0:
        raise _Failed(
            (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2],
            f"point DSPex at an interpreter that has dspy: {_CONFIG_LINE}",
        )
    said = done.stdout.strip()
    if (found := shutil.which(python)) and is_wrapper(Path(found)):
        real = _run(wrapped(Path(found)), "-c", "import dspy; print(dspy.__version__)")
        if real.stdout.strip() != said:
            raise _Failed(
                f"the wrapper says {said}, but importing it says {real.stdout.strip() or real.stderr.strip()}",
                "mend that environment, or run 'dspex-testkit install --python' from the one to be used",
            )
    return said


def _packages(python: str) -> str:
    # DSPex reads its default package, dspy-ai, as dspy.
    done = _run(python, "-c", "import dspy")
    if done.returncode != 0:
        raise _Failed(done.stderr.strip().rpartition("\n")[2], "install what is missing into that interpreter")
    return "dspy"


def _settings(folder: Path) -> str:
    try:
        settings = load(home=str(folder))
    except UsageError as error:
        raise _Failed(error.message, "mend it, or remove the line") from None
    if settings.warnings:
        raise _Failed("; ".join(settings.warnings), "correct the name, or unset the variable")
    given = {name: source for name, source in settings.sources.items() if source != "default"}
    return ", ".join(f"{name} from {source}" for name, source in given.items()) or "all at their defaults"


def _host(folder: Path, system: System | None) -> str:
    # Being without one is no failure: everything works, but for each worker by itself.
    alone = "each bridge loads DSPy by itself, and the workers of a pool share no programs, LMs, sessions or calls"
    if load(home=str(folder)).host == "off":
        return f"switched off: {alone}"
    try:
        os.close(lock(find_place(os.getpid(), system=system).folder))
    except Unavailable as reason:
        return f"none, because {reason}: {alone}"
    return "bridges are forked from it, and the workers of a pool share their state"


def _key() -> Step:
    # Nothing of ours needs it, and DSPex may be given it in another shell than this one: no failure.
    if os.environ.get("GEMINI_API_KEY"):
        return Step("GEMINI_API_KEY", True, "set")
    return Step(
        "GEMINI_API_KEY", True, "not set here", "DSPex's set_lm raises without one: export GEMINI_API_KEY=offline"
    )


def _launch(python: str, launcher: Path) -> Iterator[Step]:
    """Start a bridge as DSPex does, and have it answer one question."""
    advice = "set DSPEX_TESTKIT_LOG to a path and look there"
    with Probe([python, str(launcher), "--mode", "pool-worker", "--worker-id", "doctor"], _PATIENCE) as bridge:
        step = "start"
        try:
            begun = time.perf_counter()
            pong = bridge.ask("ping", {"initialization": True, "worker_id": "doctor"})
            if pong.get("status") != "ok":
                raise ProbeError(f"ping answered {pong}")
            yield Step(step, True, f"first ping answered after {(time.perf_counter() - begun) * 1000:.0f} ms")
            step = "configure"
            bridge.ask("configure_lm", {"provider": "mock", "responses": {"default": "well"}})
            yield Step(step, True, "a mock LM")
            step = "create"
            bridge.ask("create_program", {"id": "doctor", "signature": "question -> answer"})
            yield Step(step, True, "question -> answer")
            step = "execute"
            answer = bridge.ask("execute_program", {"program_id": "doctor", "inputs": {"question": "How are you?"}})
            if answer.get("outputs") != {"answer": "well"}:
                raise ProbeError(f"it answered {answer.get('outputs')}")
            yield Step(step, True, "the mock's answer")
            step = "shutdown"
            bridge.ask("shutdown", {"worker_id": "doctor"})
            status, stderr = bridge.end()
            if status or stderr:
                raise ProbeError(f"it ended with status {status} and said on stderr: {stderr or 'nothing'}")
            yield Step(step, True, "ended with status 0, silent on stderr")
        except ProbeError as error:
            yield Step(step, False, str(error), advice)


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no end after {_PATIENCE:.0f} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]}: {error.strerror}")
