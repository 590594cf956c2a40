"""Pages with tables that name, for each line, the tests that show it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"`([^`]+)::([^`]+)`")


def rows(page: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """The lines of a page's tables: what stands in the first column, and file and name of each test."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "::" in line]
    return [(line.split(" | ")[0].removeprefix("| "), _NAMED.findall(line)) for line in lines]


def exists(file: str, name: str) -> bool:
    """Whether a file of tests, Python's or Elixir's, has one of this name."""
    path = ROOT / file
    if not path.is_file():
        return False
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".exs":
        return f'test "{name}"' in source
    return re.search(rf"^def {re.escape(name)}\(", source, re.MULTILINE) is not None
