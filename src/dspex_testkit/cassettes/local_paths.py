"""Paths of this machine, by which local servers name their models: homes are written ``~``, temporary folders ``/tmp``.

Only where a body says which model answered: texts that an LM wrote, and requests, which are compared, stay as they are.
"""

import tempfile
from pathlib import Path
from typing import Any


def without_local_paths(text: str) -> str:
    """A name in which nothing tells whose machine it was."""
    for folder, instead in ((tempfile.gettempdir(), "/tmp"), (str(Path.home()), "~")):
        if len(folder) > 1:
            text = _replaced(text, folder, instead)
    return text


def with_local_paths_cut(body: Any) -> Any:
    """The body of an answer, or an event of one, whose `model` names no folder of this machine."""
    if not isinstance(body, dict):
        return body
    changed = {name: without_local_paths(body[name]) for name in _NAMES if isinstance(body.get(name), str)}
    changed |= {name: with_local_paths_cut(body[name]) for name in ("response", "message") if name in body}
    return {**body, **changed}


_NAMES = ("model", "modelVersion", "system_fingerprint")


def _replaced(text: str, folder: str, instead: str) -> str:
    if text == folder:
        return instead
    return text.replace(f"{folder}/", f"{instead}/").replace(f"{folder}\\", f"{instead}\\")
