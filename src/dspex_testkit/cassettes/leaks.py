"""The last look at a finished recording: does any known secret stand in it, in whatever disguise?

Redaction works on what it understands. This looks at everything that is about to be written: each text in every form
in which a secret travels, the JSON that texts hold, and the pieces of streams put together.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from dspex_testkit.errors import SecretFoundError
from dspex_testkit.redaction import Secrets

_JSON = ("{", "[", '"')
"""What JSON begins with that can hold a text."""


def refuse_secrets(document: Any, text: str, secrets: Secrets, *, path: object) -> None:
    """Look for every known secret.

    Args:
        document: The recording as JSON values.
        text: The recording as it would be written.
        secrets: Those that are known.
        path: The file, for the message.

    Raises:
        SecretFoundError: One was found; says where, never what.
    """
    if not secrets:
        return
    for place, found in _texts(document):
        _refuse(place, found, secrets, path)
    # What the file's own syntax adds (keys, comments, escapes) is looked at too.
    _refuse("the file's text", text, secrets, path)


def _refuse(place: str, text: str, secrets: Secrets, path: object) -> None:
    for _, _, (_, disguise, secret) in secrets.find(text):
        raise SecretFoundError(
            f"{path}: the value of {secret.name} stands in {place}{disguise}. Nothing was written; filter that "
            "place with filter_request= or filter_response=, or keep the secret out of prompts.",
            details={"path": str(path), "secret": secret.name, "place": place},
        )


def _texts(document: Any) -> Iterator[tuple[str, str]]:
    """Every text with its place; then, per list of pieces, the pieces put together."""
    pieces: dict[str, list[str]] = {}
    for place, group, text in _walk(document, "", ""):
        yield place, text
        pieces.setdefault(group, []).append(text)
    for group, texts in pieces.items():
        if len(texts) > 1:
            yield f"{group} (put together)", "".join(texts)


def _walk(value: Any, place: str, group: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        yield place, group, value
        if inner := _inner(value):
            yield from _walk(inner, place, f"{group}.within")
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield f"{place} (a key)", f"{group}.(keys)", key
            yield from _walk(item, f"{place}.{key}".lstrip("."), f"{group}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        top = place == "interactions"
        for position, item in enumerate(value):
            # Pieces are put together within one interaction, never across two.
            yield from _walk(item, f"{place}[{position}]", f"{group}[{position}]" if top else f"{group}[*]")


def _inner(text: str) -> list[Any]:
    """The JSON values that a text holds: one, or one per line or server-sent event."""
    if text.lstrip()[:1] in _JSON:
        with contextlib.suppress(ValueError):
            return [json.loads(text)]
    elif "data:" not in text:
        return []
    found = []
    for line in text.splitlines():
        data = line.removeprefix("data:").lstrip()
        if data[:1] in _JSON:
            with contextlib.suppress(ValueError):
                found.append(json.loads(data))
    return found
