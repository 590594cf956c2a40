"""A copy of each parsed cassette that loads much faster than YAML.

It lies in the user's cache folder, is found by the content of the cassette itself, and is only believed if its own
digest is right; so it can be deleted, damaged or shared between checkouts and is never stale.
"""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import orjson

from dspex_testkit.atomic_files import replace_file
from dspex_testkit.cassettes.files import cache_folder

_MOST_COPIES = 2000
_SMALLEST = 2_000
"""Bytes of a cassette below which YAML is quick enough."""


def recall(content: bytes) -> Any | None:
    """The JSON values of this very content, if a sound copy is there."""
    if len(content) < _SMALLEST:
        return None
    try:
        stored = _copy(content).read_bytes()
    except OSError:
        return None
    digest, _, payload = stored.partition(b"\n")
    if digest != _digest(payload):
        return None
    return orjson.loads(payload)


def remember(content: bytes, record: Any) -> None:
    """Keep a copy; failing to is no failure."""
    if len(content) < _SMALLEST:
        return
    with contextlib.suppress(OSError, TypeError):
        payload = orjson.dumps(record)
        path = _copy(content)
        replace_file(path, _digest(payload) + b"\n" + payload, mode=0o600)
        _forget_oldest(path.parent)


def clear() -> int:
    """Delete every copy; returns how many there were."""
    copies = list((cache_folder() / "index").glob("*.json"))
    for copy in copies:
        with contextlib.suppress(OSError):
            copy.unlink()
    return len(copies)


def _copy(content: bytes) -> Path:
    return cache_folder() / "index" / f"{hashlib.blake2b(content, digest_size=20).hexdigest()}.json"


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=20).hexdigest().encode()


def _forget_oldest(folder: Path) -> None:
    copies = list(folder.glob("*.json"))
    if len(copies) <= _MOST_COPIES:
        return
    copies.sort(key=lambda copy: copy.stat().st_mtime)
    for copy in copies[: len(copies) // 4]:
        with contextlib.suppress(OSError):
            copy.unlink()
