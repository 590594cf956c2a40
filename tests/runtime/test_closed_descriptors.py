"""A process that is born without standard input, output or error answers, or says that it cannot; never neither."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.launch.install import install
from dspex_testkit.protocol import Request
from tests.support.bridges import PATIENCE, Process

UNUSABLE = ["<&-", ">&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"]
MODULE = ["-m", "dspex_testkit.launch.main"]
EMBEDDED = """
import sys
sys.path.insert(0, sys.argv[1])
import dspy_bridge
bridge = dspy_bridge.DSPyBridge()
bridge.handle_command("configure_lm", {"provider": "mock", "responses": {"default": "well"}})
answer = bridge.handle_command("predict", {"signature": "question -> answer", "inputs": {"question": "?"}})
sys.exit(7 if answer["outputs"] == {"answer": "well"} else 3)
"""


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """A launcher as an installation writes it."""
    return install(tmp_path)


@pytest.fixture(params=["launcher", "module", "command line"])
def command(request: pytest.FixtureRequest, launcher: Path) -> list[str]:
    """Everything that serves."""
    module = "from dspex_testkit.cli import main; main(['bridge'])"
    return {"launcher": [str(launcher)], "module": MODULE, "command line": ["-c", module]}[str(request.param)]


def closing(descriptors: str, *command: str) -> list[str]:
    """A command whose process starts without these descriptors."""
    return ["-c", f'exec "$0" "$@" {descriptors}', sys.executable, *command]


def run(descriptors: str, *command: str, host: str = "off") -> "subprocess.CompletedProcess[bytes]":
    """What comes of a process without these descriptors."""
    return subprocess.run(
        ["sh", *closing(descriptors, *command)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        env={**os.environ, "DSPEX_TESTKIT_HOST": host},
        check=False,
    )


@pytest.mark.parametrize("host", ["auto", "off"], indirect=True)
@pytest.mark.parametrize("descriptors", UNUSABLE)
def test_a_bridge_without_input_or_output_says_so(command: list[str], descriptors: str, host: str) -> None:
    """On its error stream, where it has one, and by its status in any case; nothing else looks like a frame."""
    done = run(descriptors, *command, host=host)
    assert done.returncode == 2
    assert done.stdout == b""
    assert (b"standard input and output must be open" in done.stderr) is ("2>&-" not in descriptors)


@pytest.mark.parametrize("host", ["auto", "off"], indirect=True)
@pytest.mark.parametrize("log", ["off", "stderr", "file"])
def test_a_bridge_without_an_error_stream_answers(command: list[str], host: str, log: str, tmp_path: Path) -> None:
    """Nothing that it opens later is taken for its error stream; what is printed there goes to the log or nowhere."""
    env: dict[str, Any] = {
        "DSPEX_TESTKIT_HOST": host,
        "DSPEX_TESTKIT_LOG": str(tmp_path / "log") if log == "file" else log,
    }
    with Process(argv=closing("2>&-", *command), python="/bin/sh", env=env) as bridge:
        bridge.call("configure_lm", {"provider": "mock", "responses": {"default": "well"}})
        result = bridge.call("predict", {"signature": "question -> answer", "inputs": {"question": "?"}})
        assert result["outputs"] == {"answer": "well"}
        bridge.send(Request(99, "shutdown"))
        response = bridge.receive()
        assert response is not None
        assert response.success
        assert bridge.end() == (0, "")


@pytest.mark.parametrize("descriptors", [*UNUSABLE, "2>&-"])
def test_an_embedded_bridge_answers_without_any_of_them(launcher: Path, descriptors: str) -> None:
    """It needs none, and no library that it imports may fall over their absence."""
    assert run(descriptors, "-c", EMBEDDED, str(launcher.parent)).returncode == 7


@pytest.mark.parametrize("descriptors", [*UNUSABLE, "2>&-", ">/dev/full"])
@pytest.mark.parametrize("arguments", [["settings"], ["uninstall", "nowhere"]])
def test_a_command_that_cannot_print_does_not_pretend_to_have_done(arguments: list[str], descriptors: str) -> None:
    """Its status says so, and its error stream where it has one; errors are never printed among its output."""
    done = run(descriptors, "-c", "import sys; from dspex_testkit.cli import main; sys.exit(main())", *arguments)
    works = arguments == ["settings"] and ">&-" not in descriptors.replace("2>&-", "") and descriptors != ">/dev/full"
    assert done.returncode == (0 if works else 2)
    assert bool(done.stdout) is works
    assert bool(done.stderr) is (not works and "2>&-" not in descriptors)


@pytest.mark.parametrize("host", ["auto", "off"], indirect=True)
def test_a_bridge_whose_output_takes_nothing_says_so(host: str) -> None:
    """As a full disk does."""
    argv = ["-c", 'exec "$0" "$@" >/dev/full', sys.executable, *MODULE]
    with Process(argv=argv, python="/bin/sh", env={"DSPEX_TESTKIT_HOST": host}) as bridge:
        bridge.send(Request(1, "ping"))
        status, stderr = bridge.end()
    assert status == 1
    assert "No space left on device" in stderr
