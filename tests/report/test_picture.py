"""The picture in the docs is of a suite that is there and passes."""

from pathlib import Path

from tests.support.report_picture import PICTURE, run_suite


def test_the_suite_of_the_picture_passes_and_is_drawn(tmp_path: Path) -> None:
    """In a pool, with a report of all its tests."""
    page = tmp_path / "report.html"
    done = run_suite(page)

    assert done.returncode == 0, done.stdout
    assert "test_customers_are_served_side_by_side" in page.read_text(encoding="utf-8")


def test_the_picture_is_there_and_small() -> None:
    """A page of the docs loads at once."""
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
    assert PICTURE.stat().st_size < 250_000
