"""The benchmarks run, and the page that they wrote is about the same things."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def rows(page: Path) -> list[tuple[str, str, str]]:
    """What was compared with what, and the aim, of every row; the ratios are the machine's."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(what, against, aim) for what, against, _, aim in cells]


def test_every_figure_can_be_taken_and_stands_on_the_page(tmp_path: Path) -> None:
    """No benchmark is broken, none on the page has gone, none is missing there."""
    page = tmp_path / "benchmarks.md"

    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--scale", "0.001", "--write", page],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )

    assert rows(page) == rows(ROOT / "docs" / "benchmarks.md")
    assert len(rows(page)) > 1


def test_the_walks_of_a_call_can_be_counted() -> None:
    """Each walk is made, enters files, and a replayed call climbs to no higher room."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.walks"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )

    found = dict(line.split(": ") for line in done.stdout.splitlines())
    assert found.keys() == {"mock call", "execution", "replayed call"}
    assert found["replayed call"].endswith(" 0 climbs")
