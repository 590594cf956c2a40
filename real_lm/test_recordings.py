"""Recorded twice on one machine, a real LM says the same twice; on another, it says something of the same form."""

import json
from pathlib import Path

import pytest

from real_lm.comparing import MAY_DIFFER, places, structure, unlike
from real_lm.record import FOLDER, OUTCOMES, jobs, main

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of everything."""
    return _recorded(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one."""
    return _recorded(tmp_path_factory.mktemp("second"))


def _recorded(folder: Path) -> Path:
    assert main(["--into", str(folder)]) == 0
    return folder


FILES = sorted(str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*.yaml"))
ENDED = ("killed", "abandoned", "cancelled")
"""Cases that end in the middle of an answer."""


def test_the_same_files_are_made(first: Path, second: Path) -> None:
    """As many as are committed."""
    assert [sorted(str(file.relative_to(folder)) for file in folder.rglob("*.yaml")) for folder in (first, second)] == [
        FILES,
        FILES,
    ]


@pytest.mark.parametrize("name", FILES)
def test_two_recordings_on_one_machine_differ_in_moments_only(first: Path, second: Path, name: str) -> None:
    """Times, and the ids that the server gives."""
    assert unlike(places(first / name), places(second / name)) == [], f"beside {sorted(MAY_DIFFER)}"


@pytest.mark.parametrize("name", jobs())
def test_a_program_makes_the_same_of_both(first: Path, second: Path, name: str) -> None:
    """What the recorded programs were answered."""
    outcomes = [json.loads((folder / OUTCOMES).read_text("utf-8"))["outcomes"][name] for folder in (first, second)]

    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("name", FILES)
def test_what_is_committed_has_the_form_of_what_is_recorded_today(first: Path, name: str) -> None:
    """Processors compute a little differently, so the words may be others; what is said of them is not."""
    committed, today = structure(places(FOLDER / name)), structure(places(first / name))

    assert {place for place in committed.keys() ^ today.keys() if not _is_of_the_words(name, place)} == set()
    assert {place for place in committed.keys() & today.keys() if committed[place] != today[place]} == set()


def _is_of_the_words(name: str, place: str) -> bool:
    """Whether something is there or not by what the LM said: a second question, and pieces before an end."""
    return name.rpartition("/")[2].startswith(("predict", "pool", *ENDED)) and "interactions" in place
