"""Bodies of HTTP messages, of whatever shape: what is kept of them, and in which form they are compared.

JSON, server-sent events, lines of JSON, forms and uploads pass one filter: fields that say who asked are left out, and
secrets are cut. An upload is kept and compared part by part, for its boundary is another one each time.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from dspex_testkit.cassettes.local_paths import with_local_paths_cut
from dspex_testkit.cassettes.yaml_text import without_half_pairs
from dspex_testkit.redaction import REDACTED, Redactor, is_token_field

_PRIVATE = frozenset({"user", "user_id", "safety_identifier", "metadata", "organization"})
"""Fields that say who asked: of a body, and of the answer that an event of a stream carries whole."""
_WHOLE = ("response", "message")
"""Where events carry whole answers."""
_FORM = re.compile(r"[\w.%+-]+=[^&\s]*(?:&[\w.%+-]+=[^&\s]*)*")
_BOUNDARY = re.compile(r"""boundary="?([^";,\s]+)""", re.IGNORECASE)
BOUNDARY = "----dspex-testkit-boundary"
"""Stands between the parts of each upload that is kept."""


@dataclass(frozen=True, slots=True)
class Part:
    """A field or a file of an upload."""

    head: bytes
    content: bytes


def as_bytes(body: Any) -> bytes | None:
    """A body as one piece, whichever way a client gives it: as text, a file, a list or a generator of pieces."""
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode("utf-8", "surrogateescape")
    if hasattr(body, "read"):
        return as_bytes(body.read())
    return b"".join(as_bytes(piece) or b"" for piece in body)


def clean_body(body: bytes | None, content_type: str, redactor: Redactor, *, answer: bool = False) -> bytes | None:
    """What is kept of a body; of an answer without the paths of the machine that gave it."""
    if not body:
        return body
    boundary = _boundary_of(content_type)
    if boundary is not None:
        parts = [Part(each.head, clean_body(each.content, "", redactor) or b"") for each in parts_of(body, boundary)]
        return _joined(part for part in parts if not _is_private(part))
    text = body.decode("utf-8", "surrogateescape")
    value = parsed(text)
    if isinstance(value, dict | list):
        clean = redactor.json(_public(value, answer=answer))
        return body if clean == value else json_text(clean).encode()
    text = _form(_events(text, redactor, answer=answer), redactor)
    return redactor.text(text).encode("utf-8", "surrogateescape")


def comparable_body(body: bytes | None, content_type: str, comparable_json: Callable[[dict[str, Any]], Any]) -> Any:
    """A body in the form in which it is compared, as JSON values."""
    if not body:
        return ""
    boundary = _boundary_of(content_type)
    if boundary is not None:
        parts = parts_of(body, boundary)
        return [[_head(part.head), comparable_body(part.content, "", comparable_json)] for part in parts]
    value = parsed(body)
    if isinstance(value, dict):
        return comparable_json(value)
    return value if isinstance(value, list) else body.decode("utf-8", "surrogateescape")


def without_private(value: Any) -> Any:
    """A JSON body, or an event of a stream, without the fields that say who asked."""
    if not isinstance(value, dict):
        return value
    return {key: without_private(item) if key in _WHOLE else item for key, item in value.items() if key not in _PRIVATE}


def parsed(body: str | bytes) -> Any:
    """The JSON value of a body; None where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that people can read. What is no Unicode is escaped, as it was when it came."""
    return without_half_pairs(json.dumps(value, ensure_ascii=False, indent=indent))


def parts_of(body: bytes, boundary: bytes) -> list[Part]:
    """The parts of an upload."""
    parts = []
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:]:
        if piece.startswith(b"--"):
            break
        head, _, content = piece.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
        parts.append(Part(head, content))
    return parts


def kept_content_type(content_type: str) -> str:
    """The content type of a body as it is kept."""
    return _BOUNDARY.sub(f"boundary={BOUNDARY}", content_type) if _boundary_of(content_type) else content_type


def _boundary_of(content_type: str) -> bytes | None:
    if not content_type.lower().startswith("multipart/"):
        return None
    found = _BOUNDARY.search(content_type)
    return None if found is None else found.group(1).encode("latin-1", "replace")


def _joined(parts: Any) -> bytes:
    mark = BOUNDARY.encode()
    return b"".join(b"--" + mark + b"\r\n" + part.head + b"\r\n\r\n" + part.content + b"\r\n" for part in parts) + (
        b"--" + mark + b"--\r\n"
    )


def _head(head: bytes) -> list[str]:
    """The headers of a part, in an order of their own: clients differ in theirs."""
    return sorted(line.strip().lower() for line in head.decode("utf-8", "replace").splitlines())


def _is_private(part: Part) -> bool:
    name = re.search(rb'name="?([^";\r\n]+)', part.head)
    return name is not None and name.group(1).decode("utf-8", "replace") in _PRIVATE


def _public(value: Any, *, answer: bool) -> Any:
    public = without_private(value)
    return with_local_paths_cut(public) if answer else public


def _events(text: str, redactor: Redactor, *, answer: bool) -> str:
    """Server-sent events, or lines of JSON, cleaned each and as a whole: a secret may be spread over several."""
    lines = text.split("\n")
    events = {number: event for number, line in enumerate(lines) if (event := _event(line)) is not None}
    public = [_public(event.value, answer=answer) for event in events.values()]
    for (number, event), clean in zip(events.items(), redactor.events(public), strict=True):
        if clean != event.value:
            before = "data: " if lines[number].startswith("data:") else ""
            after = "\r" if lines[number].endswith("\r") else ""
            lines[number] = before + event.written(clean) + after
    return "\n".join(lines)


class _Event(NamedTuple):
    """What a line says, as a JSON map or list; a text alone is the one item of a list."""

    value: Any
    written: Callable[[Any], str]


def _event(line: str) -> _Event | None:
    said = line.removeprefix("data:")
    value = parsed(said)
    if isinstance(value, dict | list):
        return _Event(value, json_text)
    if not line.startswith("data:"):
        return None
    if isinstance(value, str):
        return _Event([value], lambda clean: json_text(clean[0]))
    words = said.removeprefix(" ").removesuffix("\r")
    return _Event([words], lambda clean: str(clean[0])) if words else None


def _form(text: str, redactor: Redactor) -> str:
    """A form without what stands in the fields of tokens, and without those that say who asked."""
    if not _FORM.fullmatch(text):
        return text
    fields = [field.partition("=") for field in text.split("&")]
    kept = [(name, value) for name, _, value in fields if parse_qsl(f"{name}=x")[0][0] not in _PRIVATE]
    hidden = redactor.looks.fields
    return "&".join(
        f"{name}={REDACTED if hidden and is_token_field(name) and value else value}" for name, value in kept
    )
