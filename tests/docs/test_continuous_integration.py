"""The files for CI that a page offers do what it says, as far as that shows on one machine."""

import os
import re
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from dspex_testkit.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "continuous-integration.md"


def github(workflow: dict[str, Any]) -> Iterator[str]:
    """The commands of a workflow."""
    for job in workflow["jobs"].values():
        yield from (step["run"] for step in job["steps"] if "run" in step)


def gitlab(pipeline: dict[str, Any]) -> Iterator[str]:
    """The commands of a pipeline."""
    for job in pipeline.values():
        yield from [*job["script"], *job["after_script"]]


@pytest.mark.parametrize(
    ("name", "commands_of", "summary"),
    [(".github/workflows/test.yml", github, "step.md"), (".gitlab-ci.yml", gitlab, "summary.md")],
)
def test_the_commands_of_a_file_for_ci_pass_and_leave_a_summary(
    tmp_path: Path, name: str, commands_of: Any, summary: str
) -> None:
    """In the order of the file, after the installation, which names what the commands need."""
    for path, text in re.findall(
        r"^```(?:ini|yaml|python file)\n# (\S+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    install, *commands = commands_of(yaml.safe_load((tmp_path / name).read_text(encoding="utf-8")))
    assert install == "pip install -r requirements-test.txt"
    scripts = sysconfig.get_path("scripts")
    environment = os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "step.md"),
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
    }

    for command in commands:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    assert "| ` openai/gpt-4o-mini ` mock | 1 |" in (tmp_path / summary).read_text(encoding="utf-8")


def test_what_the_page_installs_and_runs_is_there() -> None:
    """Each extra is one of the package's, and the line without a checkout ends in a command of the kit."""
    text = PAGE.read_text(encoding="utf-8")
    extras = set(metadata("dspex-testkit").get_all("Provides-Extra") or ())
    named = [
        Requirement(word)
        for word in text.replace("`", " ").replace("'", " ").split()
        if word.startswith("dspex-testkit[")
    ]
    assert named
    assert set.union(*(each.extras for each in named)) <= extras

    (line,) = [line for line in text.splitlines() if line.startswith("uvx ")]
    command = shlex.split(line)
    assert command[:2] == ["uvx", "--from"]
    with pytest.raises(SystemExit) as ended:
        main([*command[4:], "--help"])
    assert (command[3], ended.value.code) == ("dspex-testkit", 0)
