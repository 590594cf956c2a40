"""The last look at a finished recording: does any known secret stand in it, in whatever disguise?

Redaction works on what it understands. This looks at everything that is about to be written: each text raw,
URL-encoded and in base64 at all three alignments, the JSON that texts hold, and the pieces of streams put together.
"""

import base64
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from dspex_testkit.errors import SecretFoundError

_JSON = ("{", "[", '"')
"""What JSON begins with that can hold a text."""
_PERCENT = re.compile("%[0-9A-F]{2}")


def refuse_secrets(document: Any, text: str, secrets: Mapping[str, str], *, path: object) -> None:
    """Look for every known secret.

    Args:
        document: The recording as JSON values.
        text: The recording as it would be written.
        secrets: Values by the name that may be shown.
        path: The file, for the message.

    Raises:
        SecretFoundError: One was found; says where, never what.
    """
    if not secrets:
        return
    disguises = {name: list(_disguises(value)) for name, value in secrets.items() if value}
    for place, found in _texts(document):
        _refuse(place, found, disguises, path)
    # What the file's own syntax adds (keys, comments, escapes) is looked at too.
    _refuse("the file's text", text, disguises, path)


def _refuse(place: str, text: str, disguises: Mapping[str, list[tuple[str, str]]], path: object) -> None:
    for name, forms in disguises.items():
        for disguise, form in forms:
            if form in text:
                raise SecretFoundError(
                    f"{path}: the value of {name} stands in {place}{disguise}. Nothing was written; filter that place "
                    "with filter_request= or filter_response=, or keep the secret out of prompts.",
                    details={"path": str(path), "secret": name, "place": place},
                )


def _disguises(secret: str) -> Iterator[tuple[str, str]]:
    yield "", secret
    quoted = {quote(secret, safe=""), quote_plus(secret), quote(secret)}
    for encoded in {*quoted, *(_PERCENT.sub(lambda found: found[0].lower(), each) for each in quoted)} - {secret}:
        yield " (URL-encoded)", encoded
    raw = secret.encode()
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(b"\0" * shift + raw).decode().rstrip("=")
            # The characters at both ends also depend on the neighbours.
            start = (shift * 8 + 5) // 6
            end = (shift + len(raw)) * 8 // 6
            if end - start >= 8:
                yield " (base64)", coded[start:end]
    for escaped in {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]} - {secret}:
        yield " (escaped)", escaped
    yield " (escaped)", "".join(f"\\u{ord(char):04x}" for char in secret)


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
