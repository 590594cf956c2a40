"""A whole suite, recorded against providers on this machine, replays on several workers with the network cut."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dspex_testkit.simulator import ProviderSimulator

KEY = "planted-key-0123456789"

CONFTEST = """
import os, socket
if os.environ["SUITE_MODE"] == "none":
    def refuse(*args, **kwargs):
        raise AssertionError("a replayed suite asked the network")
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""

SUITE = """
import asyncio, json, os, sys
from pathlib import Path
import dspy, pytest
from dspex_testkit import cassettes

MODE = os.environ["SUITE_MODE"]
TARGETS = json.loads(os.environ["SUITE_TARGETS"])
FOLDER = Path(__file__).parent / "cassettes"
QA = dspy.Predict("question -> answer")
pytestmark = pytest.mark.filterwarnings("ignore")

def live(stack):
    target = TARGETS[stack]
    return dspy.LM("openai/gpt-4o-mini", engine=stack, api_base=target["api_base"], api_key=target["api_key"],
                   cache=False, num_retries=0)

def sync(lm, question):
    with dspy.context(lm=lm):
        return QA(question=question).answer

def asynchronous(lm, question):
    async def ask():
        with dspy.context(lm=lm):
            return (await QA.acall(question=question)).answer
    return asyncio.run(ask())

def streamed(lm, question):
    program = dspy.streamify(QA, async_streaming=False)
    with dspy.context(lm=lm):
        return [value for value in program(question=question) if isinstance(value, dspy.Prediction)][0].answer

@pytest.mark.parametrize("stack", ["lm15", "litellm"])
@pytest.mark.parametrize("ask", [sync, asynchronous, streamed])
@pytest.mark.parametrize("level", ["lm", "http"])
def test_it(stack, ask, level):
    path = FOLDER / f"{stack}-{ask.__name__}-{level}.yaml"
    question = f"What is 2+2? ({os.environ['PLANTED_API_KEY']})"
    if level == "lm":
        with cassettes.record(live(stack), path, record_mode=MODE) as lm:
            assert ask(lm, question) == "4"
    else:
        with cassettes.http_cassette(path, record_mode=MODE):
            assert ask(live(stack), question) == "4"
"""


def run(folder: Path, mode: str, targets: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the suite in a pytest of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)],
        env={**os.environ, "SUITE_MODE": mode, "SUITE_TARGETS": targets, "PLANTED_API_KEY": KEY},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(240)
def test_a_recorded_suite_replays_on_four_workers_without_a_network(tmp_path: Path) -> None:
    """Both stacks, both levels, sync, async and streamed; and the planted keys are in no file."""
    import json

    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(SUITE)
    with ProviderSimulator() as simulator:
        targets = {}
        for stack in ("lm15", "litellm"):
            target = simulator.target("openai/gpt-4o-mini", spec={"default": "4"})
            targets[stack] = {"api_base": target.api_base, "api_key": target.api_key}
        recorded = run(tmp_path, "once", json.dumps(targets))
    assert "12 passed" in recorded.stdout, recorded.stdout
    replayed = run(tmp_path, "none", json.dumps(targets), "-n", "4")
    assert "12 passed" in replayed.stdout, replayed.stdout
    files = [path for path in (tmp_path / "cassettes").rglob("*") if path.is_file()]
    assert len(files) == 12
    for path in files:
        text = path.read_text()
        assert KEY not in text
        assert all(target["api_key"] not in text for target in targets.values())
