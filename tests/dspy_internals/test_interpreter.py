"""Where generated code runs, and what it can see there."""

import shutil
from pathlib import Path

import dspy
import pytest

from dspex_testkit.bridge import Bridge, BridgeSettings
from dspex_testkit.dspy_internals import interpreter
from dspex_testkit.dspy_internals.interpreter import ScrubbedInterpreter, interpreter_context
from dspex_testkit.errors import ProgramExecutionError
from dspex_testkit.protocol import Request

QA = {"id": "p", "signature": "question -> answer: int", "program_type": "program_of_thought"}


def test_code_sees_no_key_of_the_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Canary: neither `os.environ` nor the process's first environment holds it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-secret-1234567890")
    code = "import os, pathlib\nSUBMIT(str(dict(os.environ)) + pathlib.Path('/proc/self/environ').read_text())"
    local = ScrubbedInterpreter()
    try:
        seen = local.execute(code)
    finally:
        local.shutdown()

    assert "PATH" in str(seen)
    assert "sk-planted" not in str(seen)


def test_dspy_s_own_interpreter_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our subclass is scrubbed; somebody else's use in this process is not changed."""
    monkeypatch.setenv("SOMETHING_HARMLESS", "visible")
    local = dspy.LocalInterpreter()
    try:
        seen = local.execute("import os\nSUBMIT(os.environ['SOMETHING_HARMLESS'])")
    finally:
        local.shutdown()

    assert "visible" in str(seen)


def test_without_deno_and_without_leave_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install, or which switch to set for mocks."""
    monkeypatch.setattr(interpreter, "has_deno", lambda: False)

    with pytest.raises(ProgramExecutionError, match=r"dspex-testkit\[deno\].*ALLOW_LOCAL_INTERPRETER"):
        interpreter_context(allow_local=False)


def test_deno_is_found_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where it is, code runs in its sandbox unless the local process was allowed."""
    deno = tmp_path / "deno"
    shutil.copy("/bin/sh", deno)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert interpreter.has_deno()
    with interpreter_context(allow_local=False):
        assert dspy.settings.interpreter_factory is dspy.PythonInterpreter


def test_a_mock_s_code_runs_and_the_typed_answer_comes_back() -> None:
    """The whole program: code made up by the mock, run locally, answered with an integer."""
    bridge = Bridge(BridgeSettings(default_lm="mock", allow_local_interpreter=True))
    bridge.handle(Request(1, "create_program", QA))

    response = bridge.handle(Request(2, "execute_program", {"program_id": "p", "inputs": {"question": "How many?"}}))

    assert response.success, response.message
    assert type(response.result["answer"]) is int
