"""`CassetteLibrary`: a folder of cassettes, for whoever runs many tests."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Unpack

from dspex_testkit.cassettes.api import LMOptions, cassette_options
from dspex_testkit.cassettes.cassette import OpenCassette
from dspex_testkit.cassettes.files import resolve_inside
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.report import CassetteReport


class CassetteLibrary:
    """Opens cassettes by name and remembers what came of them.

    Args:
        folder: Where they lie.
        record_mode: The mode of those that are opened without one.
        only: Patterns of names; while some are given, every other cassette is only replayed. So that one test can be
            recorded again among many.
        options: As of `LMOptions`.

    Raises:
        UsageError: The mode or an option cannot be used.
    """

    def __init__(
        self, folder: Path, *, record_mode: str = "none", only: Sequence[str] = (), **options: Unpack[LMOptions]
    ) -> None:
        self.folder = Path(folder)
        self.mode = RecordMode.of(record_mode)
        self._only = tuple(only)
        self._options = cassette_options(**options)
        self._opened: list[OpenCassette] = []
        self._lock = threading.Lock()

    def path(self, name: str) -> Path:
        """The file of a cassette.

        Raises:
            CassettePathError: The name leads out of the folder.
        """
        return resolve_inside(self.folder, name)

    def open(self, name: str, mode: str | None = None, **options: Unpack[LMOptions]) -> OpenCassette:
        """A cassette in use, to be ended with `commit` or `discard`.

        Raises:
            CassetteError: It cannot be opened.
            UsageError: The mode or an option cannot be used.
        """
        wanted = RecordMode.of(mode) if mode else self.mode
        if self._only and not any(fnmatch(name, pattern) for pattern in self._only):
            wanted = RecordMode.NONE
        cassette = OpenCassette(self.path(name), wanted, cassette_options(**options) if options else self._options)
        with self._lock:
            self._opened.append(cassette)
        return cassette

    def reports(self) -> list[CassetteReport]:
        """What came of every cassette that was opened, in order."""
        with self._lock:
            return [cassette.report() for cassette in self._opened]

    def orphans(self) -> list[Path]:
        """Files of the folder that were not opened."""
        with self._lock:
            used = {cassette.path for cassette in self._opened}
        return [path for path in cassette_files([self.folder]) if path.resolve() not in used]


def cassette_files(places: Iterable[Path], *, json: bool = False) -> Iterator[Path]:
    """Every cassette at these places, folders searched, in the order of their names.

    Args:
        places: Files and folders.
        json: Also find JSON, which other recorders write.
    """
    for place in places:
        if place.is_dir():
            found = [path for suffix in ("*.yaml", "*.yml", *(["*.json"] * json)) for path in place.rglob(suffix)]
            yield from sorted(path for path in found if not any(part.startswith(".") for part in path.parts))
        else:
            yield place
