"""The page that names a test for each line of the design note names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "seed-coverage.md"
ROWS = re.findall(r"^\| (.+) \| `([^`]+)::([^`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def has_test(source: str, name: str, *, elixir: bool) -> bool:
    """Whether a file of tests has one of this name."""
    return f'test "{name}"' in source if elixir else re.search(rf"^def {name}\(", source, re.MULTILINE) is not None


@pytest.mark.parametrize(("line", "file", "name"), ROWS, ids=[line for line, _, _ in ROWS])
def test_every_line_of_the_note_has_a_test_that_exists(line: str, file: str, name: str) -> None:
    """Whoever renames a test is told to rename it on the page."""
    assert has_test((ROOT / file).read_text(encoding="utf-8"), name, elixir=file.endswith(".exs"))


def test_every_row_of_the_page_is_read() -> None:
    """No row escapes by being written differently."""
    rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| ") and "::" in row]
    assert len(rows) == len(ROWS) > 20
