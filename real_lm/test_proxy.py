"""Programs that know nothing of the kit are recorded from the local LM, and replayed without it.

One is on DSPy 3.2, one on OpenAI's own SDK in JavaScript. Both are told where to ask by the environment alone.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit import cassettes
from dspex_testkit.cli import main
from real_lm.record import weights

HERE = Path(__file__).parent
NAME = "smollm2"


@pytest.fixture(scope="session")
def older_dspy(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a program on DSPy 3.2, in an environment of its own."""
    place = tmp_path_factory.mktemp("older") / "venv"
    lock = HERE.parent / "locks" / "dspy-3.2.txt"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
    python = str(place / "bin" / "python")
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, "--requirement", str(lock)], check=True)
    return [python, "-W", "ignore", str(HERE / "older_dspy.py"), NAME]


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a program on OpenAI's SDK for JavaScript, as its lock says."""
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node is not None, "the OpenAI SDK in another language needs node; on Debian: apt-get install nodejs npm"
    assert npm is not None, "npm installs the OpenAI SDK; on Debian: apt-get install npm"
    place = tmp_path_factory.mktemp("node") / "program"
    shutil.copytree(HERE / "node", place)
    subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=place, check=True)
    return [node, str(place / "ask.mjs"), NAME]


def served(arguments: list[str], command: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """What a program printed under `serve`, and what was said of it."""
    status = main(["serve", *arguments, "--", *command])
    told = capfd.readouterr()
    assert status == 0, told.err
    return json.loads(told.out.strip().splitlines()[-1]), told.err


@pytest.mark.parametrize(("program", "calls"), [("older_dspy", 3), ("javascript", 2)])
def test_a_program_is_recorded_from_the_local_lm_and_replayed_without_it(
    program: str, calls: int, request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No model is asked the second time; texts, pieces, finish reasons and tokens are the same."""
    command, file = request.getfixturevalue(program), tmp_path / "kept.yaml"
    lm = ["--local-lm", str(weights()), "--alias", NAME]

    live, told = served([*lm, "--cassette", str(file), "--record-mode", "once"], command, capfd)
    assert f"{calls} recorded, 0 played" in told
    replayed, _ = served(["--cassette", str(file)], command, capfd)
    again, told = served(["--cassette", str(file), "--record-mode", "once"], command, capfd)

    assert replayed == again == live
    assert cassettes.replay(file).model == f"openai/{NAME}"


def test_a_program_asks_the_local_lm_without_a_recording(
    javascript: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """And is told which model answers."""
    live, told = served(["--local-lm", str(weights()), "--alias", NAME], javascript, capfd)

    assert live["whole"][0]
    assert f"answers as '{NAME}'" in told


def test_a_model_that_is_not_there_is_told_and_nothing_is_recorded(
    tmp_path: Path, javascript: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Under the weights' own name the program does not find its model."""
    file = tmp_path / "kept.yaml"
    record = ["--local-lm", str(weights()), "--cassette", str(file), "--record-mode", "all"]

    status = main(["serve", *record, "--", *javascript])

    assert status != 0
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("dspex-testkit: nothing was rec")]
    assert f"There is no model '{NAME}' here; ask for 'SmolLM2-135M-Instruct.Q4_1'" in lines[0]
    assert not file.exists()


def test_new_questions_are_asked_and_old_ones_are_not(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In mode `new_episodes`; DSPy's present release is recorded as any other client."""
    file = tmp_path / "kept.yaml"
    program = (
        "import dspy, json, sys\n"
        f"lm = dspy.LM('openai/{NAME}', max_tokens=6, temperature=0.0, cache=False, num_retries=0)\n"
        "print(json.dumps([lm(question) for question in sys.argv[1:]]))"
    )
    arguments = ["--local-lm", str(weights()), "--alias", NAME, "--cassette", str(file), "--record-mode"]
    command = [sys.executable, "-W", "ignore", "-c", program]

    first, _ = served([*arguments, "once"], [*command, "Name a color."], capfd)
    both, told = served([*arguments, "new_episodes"], [*command, "Name a color.", "Name a city."], capfd)

    assert both[0] == first[0]
    assert "1 recorded, 1 played" in told
