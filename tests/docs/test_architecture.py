"""The page on the architecture says how the code is, not how it was."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks import walks
from tests import test_house

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "dspex_testkit"
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+(?:\.py|/))`(?: \(`(\w+)`\))?", PAGE)
WALK = PAGE.partition("## One execution")[2].partition("\nAround it")[0]


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_a_file_that_the_page_names_is_there_and_has_what_it_says(path: str, name: str) -> None:
    """By the name that stands beside it."""
    place = ROOT / path if path.startswith("tests/") else SRC / path
    assert place.exists(), f"the page names {path}"
    if name:
        tree = ast.parse(place.read_text(encoding="utf-8"))
        made = {getattr(node, "name", None) for node in tree.body}
        made |= {getattr(getattr(node, "target", None), "id", None) for node in tree.body}
        assert name in made, f"the page says that {path} has {name}"


def test_the_rooms_stand_in_their_order() -> None:
    """All of them, as the test of the imports has them; one that is still empty is left out."""
    table = re.findall(r"^\| (`.*`) \|", PAGE.partition("## The rooms")[2].partition("\n## ")[0], re.MULTILINE)
    shown = [tuple(re.findall(r"`(\w+)`", row)) for row in table]

    there = {test_house.room_of(module) for module in test_house.FILES}
    assert shown == [rooms for rooms in test_house.ROOMS if there.issuperset(rooms)]


def test_the_walk_is_the_one_that_an_execution_takes() -> None:
    """Each file is entered, and for the first time after those that stand before it."""
    entered = [f"{name}.py" for name in walks.files_entered(walks.execution())]
    steps = [path for path, _ in re.findall(r"`([\w/]+\.py)`(?: \(`(\w+)`\))?", WALK)]
    firsts = [entered.index(path) for path in dict.fromkeys(steps)]

    assert len(firsts) > 15
    assert firsts == sorted(firsts)


def test_the_ten_questions_have_one_answer_each() -> None:
    """A row, a file, a name."""
    rows = re.findall(r"^\| (.*\?) \| `([\w/]+\.py)` \(`\w+`\)", PAGE.partition("## Ten questions")[2], re.MULTILINE)
    assert len(rows) == 10
