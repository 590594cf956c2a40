"""The page that names a test for each line of the design note names tests that exist."""

import pytest

from tests.support.named_tests import ROOT, exists, rows

ROWS = rows(ROOT / "docs" / "reference" / "seed-coverage.md")


@pytest.mark.parametrize(("line", "tests"), ROWS, ids=[line for line, _ in ROWS])
def test_every_line_of_the_note_has_a_test_that_exists(line: str, tests: list[tuple[str, str]]) -> None:
    """Whoever renames a test is told to rename it on the page."""
    assert tests
    assert [test for test in tests if not exists(*test)] == []


def test_every_row_of_the_page_is_read() -> None:
    """The page has as many lines as the note."""
    assert len(ROWS) > 20
