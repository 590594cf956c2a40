"""Where `program_of_thought` runs its code: Deno's sandbox, or a local process where that was switched on."""

import importlib.util
import os
import shutil
import subprocess
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

import dspy
from dspy.primitives import local_interpreter

from dspex_testkit.errors import ProgramExecutionError

_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")

_scrubbing: ContextVar[bool] = ContextVar("scrubbing", default=False)


def has_deno() -> bool:
    """Whether DSPy will find Deno: on the PATH, or as PyPI's package."""
    return shutil.which("deno") is not None or importlib.util.find_spec("deno") is not None


def interpreter_context(*, allow_local: bool) -> AbstractContextManager[None]:
    """The DSPy context in which code runs.

    Args:
        allow_local: Code that a mock wrote may run in a local Python process. Never true for a real LM's code.

    Raises:
        ProgramExecutionError: There is neither Deno nor leave to do without it.
    """
    context: AbstractContextManager[None]
    if allow_local:
        context = dspy.context(interpreter_factory=ScrubbedInterpreter)
    elif has_deno():
        context = dspy.context(interpreter_factory=dspy.PythonInterpreter)
    else:
        raise ProgramExecutionError(
            "program_of_thought runs code in Deno, which is not installed; pip install 'dspex-testkit[deno]', or, "
            "for mock LMs only, set DSPEX_TESTKIT_ALLOW_LOCAL_INTERPRETER=1 to run it in a local Python process"
        )
    return context


class ScrubbedInterpreter(dspy.LocalInterpreter):  # type: ignore[misc]  # dspy has no types
    """DSPy's local interpreter without the bridge's environment, in which keys may lie."""

    def start(self) -> None:
        """Start the worker process."""
        token = _scrubbing.set(True)
        try:
            super().start()
        finally:
            _scrubbing.reset(token)


class _Subprocess:
    """`subprocess` as DSPy's local interpreter sees it.

    DSPy starts the worker with this process's environment and offers no other. So its module looks `Popen` up
    here, and what a `ScrubbedInterpreter` starts gets a bare environment; all else goes through untouched. A canary
    test reads the worker's environment and fails when DSPy starts it in another way.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, *args: Any, **kwargs: Any) -> Any:
        if _scrubbing.get():
            kwargs["env"] = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return subprocess.Popen(*args, **kwargs)


local_interpreter.subprocess = _Subprocess()
