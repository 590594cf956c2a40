"""`Exchange`: one HTTP request with its response, as vcrpy keeps it, with bodies that can be read."""

import base64
import binascii
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from vcr.filters import decode_response

from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.limits import json_kind


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its response."""

    method: str
    uri: str
    asked: bytes
    """The request's body."""
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    """Of the response, without its compression."""
    answered: bytes
    """The response's body, decompressed."""
    cut: str | None = None
    """Where the body is not whole, why: `closed` or `cancelled` by the client, else how the connection broke off."""
    place: str = field(default="", compare=False)
    """Where it stands in its file, for messages."""

    @property
    def host(self) -> str:
        """Who was asked."""
        return urlsplit(self.uri).hostname or ""

    @property
    def path(self) -> str:
        """What was asked of them."""
        return urlsplit(self.uri).path

    def body(self) -> dict[str, Any]:
        """The request's JSON.

        Raises:
            CassetteFormatError: It is no JSON object.
        """
        try:
            body = json.loads(self.asked)
        except ValueError as error:
            raise CassetteFormatError(f"the request's body is no JSON: {error}") from None
        if not isinstance(body, dict):
            raise CassetteFormatError(f"the request's body is no JSON object, but {json_kind(body)}")
        return body

    @classmethod
    def from_record(cls, record: Any, place: str = "") -> "Exchange":
        """Read an interaction of a vcrpy cassette, of whichever version of vcrpy.

        Raises:
            CassetteFormatError: Something is missing, of the wrong type, or compressed in an unknown way.
        """
        try:
            asked, answered = record["request"], _current(record["response"])
            answered["body"]["string"] = _bytes(answered["body"])
            answered = decode_response(answered)
            _refuse_unreadable(answered)
            return cls(
                method=str(asked["method"]),
                uri=str(asked["uri"]),
                asked=_bytes(asked.get("body")),
                status=int(answered["status"]["code"]),
                reason=str(answered["status"].get("message") or ""),
                headers=tuple(_pairs(answered["headers"])),
                answered=answered["body"]["string"],
                place=place,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OSError, EOFError, zlib.error) as error:
            raise CassetteFormatError(f"it is no request with a response that can be read: {_said(error)}") from error


def _said(error: Exception) -> str:
    return str(error) if type(error) is ValueError else repr(error)


def _current(response: Mapping[str, Any]) -> dict[str, Any]:
    """A response in vcrpy's present form; for httpx there was another one before version 6."""
    headers = {
        name.lower(): [value] if isinstance(value, str) else list(value)
        for name, value in (response.get("headers") or {}).items()
    }
    if "status_code" in response:
        status, body = {"code": response["status_code"], "message": ""}, response.get("content")
    else:
        status, body = response["status"], response.get("body")
    # A copy: the record is somebody else's.
    return {"status": status, "headers": headers, "body": dict(body) if isinstance(body, dict) else {"string": body}}


def _bytes(body: Any) -> bytes:
    """A body as bytes; recorders have kept it as text, as bytes, in base64, or as data that people can read."""
    if isinstance(body, Mapping):
        if "base64_string" in body:
            try:
                return base64.b64decode(body["base64_string"], validate=True)
            except binascii.Error as error:
                raise ValueError(f"base64_string: {error}") from None
        if "string" in body:
            return _bytes(body["string"])
        return json.dumps(body).encode()
    if body is None:
        return b""
    return body if isinstance(body, bytes) else str(body).encode()


def _refuse_unreadable(response: Mapping[str, Any]) -> None:
    for encoding in response["headers"].get("content-encoding", ()):
        if encoding not in ("gzip", "deflate", "identity"):
            raise ValueError(f"its body is compressed as {encoding}, which needs another package")
    try:
        response["body"]["string"].decode()
    except UnicodeDecodeError:
        raise ValueError("its body is no text, even decompressed") from None


def _pairs(headers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, values in headers.items():
        for value in values if isinstance(values, list | tuple) else [values]:
            yield str(name), str(value)
