"""Keys that are put in to see whether they come out, and where they are looked for.

All canaries begin alike, so that one search finds any of them, in any form in which a text may travel, and also what is
left of one where a text was shortened.
"""

import base64
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

_MARK = "Canary/secret+key="
_LEFT = _MARK[:9]
"""What a text that was shortened may still show is less than this."""
_numbers = count(1)


def new_canary() -> str:
    """A key that was nowhere before."""
    return f"{_MARK}{next(_numbers):05}"


def address_with(canary: str) -> str:
    """An address with the canary in each of its places."""
    quoted = quote(canary, safe="")
    return f"http://user:{quoted}@127.0.0.1:9/v1?key={quoted}"


def _spellings(text: str) -> Iterator[str]:
    yield text
    yield quote(text, safe="")
    yield quote(text, safe="").lower()
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + text.encode()).decode().rstrip("=")
        yield coded[(shift * 8 + 5) // 6 : (shift + len(text)) * 8 // 6]
    yield "".join(f"\\u{ord(char):04x}" for char in text)


_LOOKED_FOR = sorted({*_spellings(_MARK), _LEFT, quote(_LEFT, safe="")})


def canaries_in(text: str) -> list[str]:
    """Every place of a text where a canary stands, with what stands around it."""
    return [
        text[max(0, found.start() - 60) : found.end() + 40]
        for spelling in _LOOKED_FOR
        if spelling in text
        for found in re.finditer(re.escape(spelling), text)
    ]


def canaries_in_json(value: Any) -> list[str]:
    """The same of JSON values, also where a canary is spread over texts that follow one another."""
    return canaries_in(json.dumps(value, default=str)) + canaries_in("".join(_texts(value)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        try:
            inner = [json.loads(line.removeprefix("data:")) for line in value.splitlines() if "{" in line]
        except ValueError:
            return
        for each in inner:
            yield from _texts(each)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def canaries_in_files(folder: Path, *, but: Iterable[str] = ()) -> list[str]:
    """Every file below a folder that holds a canary, in its name or its content.

    Args:
        folder: Where to look.
        but: Names of files that are to hold one, because they put it in.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        if path.name in but:
            continue
        content = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        places = canaries_in(str(path.relative_to(folder))) + canaries_in(content)
        if path.suffix == ".yaml":
            places += canaries_in_json(yaml.safe_load(content))
        if path.name == "cache.db":
            places += canaries_in("".join(_remembered(path)))
        found += [f"{path}: {place}" for place in places]
    return found


def _remembered(database: Path) -> Iterator[str]:
    """What a database of remembered answers holds, which is packed there."""
    with closing(sqlite3.connect(database)) as connection:
        for row in connection.execute("SELECT key, value FROM Cache"):
            for cell in row:
                yield zlib.decompress(cell).decode() if isinstance(cell, bytes) else str(cell)


def canaries_in_process_list() -> list[str]:
    """Every process whose command line shows a canary."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += canaries_in(path.read_text(errors="replace"))
        except OSError:
            continue  # it has ended meanwhile
    return found
