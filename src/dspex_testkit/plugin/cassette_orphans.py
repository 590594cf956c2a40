"""Recordings that belong to no test any more: it was renamed, or is gone."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from dspex_testkit.plugin.cassette_plans import FOLDER, FOLDER_OF, default_name, marked_name

_SUFFIXES = (".yaml", ".yml")


class Orphans:
    """Tells which files in the folder of a test's module no collected test names.

    Args:
        config: Of the run.
    """

    def __init__(self, config: pytest.Config) -> None:
        # Where only some tests of a module were collected, the files of the others would look like orphans.
        partly = any("::" in str(argument) for argument in config.args) or config.getoption("lf", False)
        self._tells = not partly
        self._items: Sequence[pytest.Item] = ()
        self._named: dict[Path, set[str]] | None = None
        self._everywhere: set[str] = set()
        self._known: dict[Path, list[Path]] = {}

    def collected(self, items: Sequence[pytest.Item]) -> None:
        """Take in all tests that there are, those that will be deselected included."""
        self._items = tuple(items)
        self._named = None

    def beside(self, item: pytest.Item) -> list[Path]:
        """The orphans in the folder of this test's module."""
        if not self._tells:
            return []
        usual = item.path.parent / FOLDER
        folder = item.stash.get(FOLDER_OF, usual)
        place = folder / item.path.stem
        if place not in self._known:
            self._known[place] = [] if not place.is_dir() else sorted(self._in(place, own=folder != usual))
        return self._known[place]

    def _in(self, folder: Path, *, own: bool) -> list[Path]:
        if self._named is None:
            self._named = _names(self._items)
            self._everywhere = set().union(*self._named.values())
        # Of which tests a folder of the suite's own is, their fixtures say, and only where they run.
        names = self._everywhere if own else self._named[folder]
        files = [path for path in folder.iterdir() if path.suffix in _SUFFIXES and not path.name.startswith(".")]
        return [path for path in files if not _belongs(path.stem, names)]


def _names(items: Sequence[pytest.Item]) -> dict[Path, set[str]]:
    """The stems that tests name, by the folder that they lie in."""
    named: dict[Path, set[str]] = defaultdict(set)
    for item in items:
        for name in filter(None, (default_name(item), marked_name(item))):
            path = item.path.parent / FOLDER / name
            named[path.parent].add(path.stem)
    return named


def _belongs(stem: str, names: set[str]) -> bool:
    """Whether a file is a test's own, or that of a session of its bridges (``<test>.<session>``)."""
    pieces = stem.split(".")
    return any(".".join(pieces[:length]) in names for length in range(1, len(pieces) + 1))
