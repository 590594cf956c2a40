"""Names of files in what an LM is sent: a canonical request has no place for them but the type of the document."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

_NAME = ";name="


@contextmanager
def names_in_types(messages: list[Any] | None) -> Iterator[None]:
    """Have a canonical request carry an adapter's messages: meanwhile names of files stand in their data's type.

    So `application/pdf` with the name `a.pdf` is `application/pdf;name=a.pdf`, which is kept and compared. It is done
    in place, since DSPy knows its adapters' messages by the list that they are in.
    """
    before = list(messages or ())
    changed = [_carried(message) if isinstance(message, Mapping) else message for message in before]
    if messages is None or all(one is other for one, other in zip(before, changed, strict=True)):
        yield
        return
    messages[:] = changed
    try:
        yield
    finally:
        messages[:] = before


def is_named(media_type: object) -> bool:
    """Whether a document's type has a file's name in it."""
    return isinstance(media_type, str) and _NAME in media_type


def _carried(message: Mapping[str, Any]) -> Mapping[str, Any]:
    content = message.get("content")
    if not isinstance(content, list) or not any(_name_of(block) for block in content):
        return message
    return {**message, "content": [_without_name(block) if _name_of(block) else block for block in content]}


def _name_of(block: Any) -> str | None:
    file = block.get("file") if isinstance(block, Mapping) and block.get("type") == "file" else None
    if not isinstance(file, Mapping) or not str(file.get("file_data", "")).startswith("data:"):
        return None
    name = file.get("filename")
    return name if isinstance(name, str) and name else None


def _without_name(block: Any) -> Any:
    file = dict(block["file"])
    kind, _, data = file["file_data"].partition(";base64,")
    file["file_data"] = f"{kind}{_NAME}{quote(file.pop('filename'))};base64,{data}"
    return {**block, "file": file}
