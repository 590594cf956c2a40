"""LM calls read back from a file with a JSON object per line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dspex_testkit.errors import JournalFileError

_KEYS = {"call": ("provider", "model"), "lm_changed": ("kind",)}
"""The types of lines, and what a line of a type has to have. A line without a type is a call."""


@dataclass(frozen=True, slots=True)
class Entries:
    """What a file says, each kind in its order."""

    calls: tuple[Mapping[str, Any], ...]
    changes: tuple[Mapping[str, Any], ...]


def read_entries(path: Path) -> Entries:
    """Read a file as `--lm-journal` writes it, or any with `LMCall.to_dict()` on each line.

    Raises:
        JournalFileError: The file cannot be read, or a line of it is none of those.
    """
    found: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in _KEYS}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    entry = _entry(line, f"{path}, line {number}")
                    found[entry.get("type", "call")].append(entry)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise JournalFileError(f"Cannot read the LM calls in {path}: {reason}") from error
    return Entries(tuple(found["call"]), tuple(found["lm_changed"]))


def _entry(line: str, where: str) -> Mapping[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise JournalFileError(
            f"{where}: wanted a JSON object per line, got {_shown(line)} ({error.msg}). "
            "Such a file is written by pytest's option --lm-journal."
        ) from None
    if not isinstance(entry, dict):
        raise JournalFileError(f"{where}: wanted a JSON object, got {_shown(line)}")
    kind = entry.get("type", "call")
    if kind not in tuple(_KEYS):
        raise JournalFileError(f"{where}: wanted one of the types {', '.join(_KEYS)}, got {kind!r}")
    if missing := [key for key in _KEYS[kind] if not isinstance(entry.get(key), str)]:
        raise JournalFileError(
            f"{where}: a line of type {kind!r} has {' and '.join(map(repr, missing))} as text; "
            f"this one has the keys {', '.join(map(repr, entry)) or '(none)'}"
        )
    return entry


def _shown(line: str) -> str:
    text = line.strip()
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
