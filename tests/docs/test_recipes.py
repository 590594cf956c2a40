"""The recipes of CONTRIBUTING work when somebody follows them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
RECIPES = re.findall(
    r"^### (.+?)\n(.*?)(?=^##)",
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Recipes")[2],
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a change touches."""
    place = tmp_path / "checkout"
    unneeded = shutil.ignore_patterns("__pycache__", "images")
    for name in ("src", "tests", "docs"):
        shutil.copytree(ROOT / name, place / name, ignore=unneeded)
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, place)
    return place


def apply(hunk: str, checkout: Path) -> None:
    """Add a hunk's lines where its context stands, or make the file that it is all of."""
    name, _, lines = hunk.partition("\n")
    path = checkout / name
    after = "".join(line[1:] + "\n" for line in lines.splitlines())
    before = "".join(line[1:] + "\n" for line in lines.splitlines() if line.startswith(" "))
    if not before:
        assert not path.exists(), f"{name} is there already, and the recipe says to write it"
        path.write_text(after, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{name} has these lines {text.count(before)} times:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def follow(recipe: str, checkout: Path) -> None:
    """Do each step."""
    for block in re.findall(r"^```diff\n(.*?)^```$", recipe, re.MULTILINE | re.DOTALL):
        hunks = re.split(r"^\+\+\+ ", block, flags=re.MULTILINE)
        assert hunks.pop(0) == ""
        for hunk in hunks:
            apply(hunk, checkout)


def check(recipe: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    """Run the command at the end, on the copy."""
    (command,) = re.findall(r"^```sh\npython (.*?)\n```$", recipe, re.MULTILINE | re.DOTALL)
    return subprocess.run(
        [sys.executable, *shlex.split(command.replace("\\\n", "")), "-q", "-p", "no:cacheprovider"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=5 * PATIENCE,
    )


@pytest.mark.parametrize(("title", "recipe"), RECIPES, ids=[title for title, _ in RECIPES])
def test_a_recipe_that_is_followed_passes_its_checks(title: str, recipe: str, checkout: Path) -> None:
    """On lines that stand where it says, by tests that run what was added."""
    follow(recipe, checkout)

    done = check(recipe, checkout)

    assert done.returncode == 0, f"{title}\n{done.stdout}{done.stderr}"
    assert " passed" in done.stdout


def test_there_are_recipes_for_what_people_add() -> None:
    """One each for faults, providers and wire formats."""
    assert [title for title, _ in RECIPES] == ["Add a fault kind", "Add a provider", "Add a wire format"]
