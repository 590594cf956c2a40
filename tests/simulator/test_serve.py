"""``dspex-testkit serve`` gives a command a world in which every provider is simulated."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dspex_testkit import cassettes
from dspex_testkit.cli import main
from dspex_testkit.simulator import ProviderSimulator
from tests.support.waiting import PATIENCE
from tests.support.web import ask

PROGRAM = """
import dspy, os, sys
for model in ("gemini/gemini-2.0-flash", "openai/gpt-4o-mini", "anthropic/claude-3-haiku-20240307"):
    with dspy.context(lm=dspy.LM(model)):
        print(dspy.Predict("question -> answer")(question="What is the capital of France?").answer)
sys.exit(7)
"""


def test_a_program_runs_offline_and_its_status_is_passed_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No base and no key is in the program; the journal tells what it asked."""
    rules, journal = tmp_path / "rules.yaml", tmp_path / "calls.jsonl"
    rules.write_text("responses:\n  What is the capital of France?: Paris\n", encoding="utf-8")

    status = main(["serve", "--rules", str(rules), "--journal", str(journal), "--", sys.executable, "-c", PROGRAM])

    assert status == 7
    assert capfd.readouterr().out.split() == ["Paris"] * 3
    calls = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert [(call["provider"], call["model"]) for call in calls] == [
        ("google", "gemini-2.0-flash"),
        ("openai", "gpt-4o-mini"),
        ("anthropic", "claude-3-haiku-20240307"),
    ]


def test_faults_are_given_on_the_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    """The child meets them; the calls are told on standard error."""
    asking = (
        "import os, urllib.request as u\n"
        "try: u.urlopen(u.Request(os.environ['OPENAI_BASE_URL'] + '/chat/completions', b'{\"model\": \"m\", "
        '"messages": [{"role": "user", "content": "hi"}]}\'))\n'
        "except u.HTTPError as error: print(error.code, error.headers['Retry-After'])"
    )
    status = main(["serve", "--fault", "rate_limit:calls=1+2,retry_after=3", "--", sys.executable, "-c", asking])

    told = capfd.readouterr()
    assert (status, told.out.strip()) == (0, "429 3")
    assert "1 LM call\n" in told.err
    assert "[rate_limit]" in told.err


def test_a_program_is_answered_from_a_cassette(
    sim: ProviderSimulator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was recorded in this process answers a program that knows nothing of it; a miss is told with the calls."""
    cassette = tmp_path / "c.yaml"
    live = sim.target("openai/gpt-4o-mini", spec={"script": ["Paris"]}).lm()
    with cassettes.record(live, cassette) as lm:
        lm("Where?")
    program = "import dspy\nlm = dspy.LM('openai/gpt-4o-mini')\nprint(lm('Where?'))\nlm('Why?')"

    status = main(["serve", "--cassette", str(cassette), "--", sys.executable, "-c", program])

    told = capfd.readouterr()
    assert (status, told.out.strip()) == (1, "['Paris']")
    assert "cassette:c: Paris" in told.err
    assert "failed: c.yaml has no recording that answers openai/gpt-4o-mini: 'Why?'" in told.err


def test_without_a_command_it_serves_until_it_is_interrupted() -> None:
    """It says where, and how its admin is reached; an interrupt ends it well."""
    command = [sys.executable, "-m", "dspex_testkit.cli", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as served:
        assert served.stdout is not None
        first = served.stdout.readline()
        url = next(word for word in first.split() if word.startswith("http")).rstrip(";")
        assert ask(f"{url}/v1/models").status == 200
        lines = iter(served.stdout.readline, "")
        assert any("Bearer" in line for line in lines)
        os.kill(served.pid, signal.SIGINT)
        assert served.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fault", "rate_limt"], "did you mean 'rate_limit'"),
        (["--fault", "reset:calls"], "KEY=VALUE"),
        (["--rules", "missing.json"], "cannot be read"),
        (["--cassette", "missing.yaml"], "There is no cassette"),
        (["--realtime"], "belong to a cassette"),
        (["--", "no-such-program"], "cannot be run"),
    ],
)
def test_what_cannot_be_done_is_told(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2 and a line that says what was wanted."""
    assert main(["serve", *arguments]) == 2
    assert says in capsys.readouterr().err
