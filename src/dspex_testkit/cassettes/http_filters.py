"""What is kept of HTTP traffic, and in which form: an allow-list, one host for all, bodies that people can read."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from vcr.request import Request as VCRRequest

from dspex_testkit.cassettes import yaml_text
from dspex_testkit.cassettes.document import parse_record
from dspex_testkit.cassettes.matching import MatchRules
from dspex_testkit.cassettes.redaction import Redactor, without_private_fields
from dspex_testkit.errors import CassetteFormatError

CANONICAL_HOST = "llm.test"
"""Stands for every provider's host, so that a cassette replays behind any address."""

_REQUEST_HEADERS = frozenset({"content-type", "accept", "anthropic-version"})
_RESPONSE_HEADERS = frozenset({"content-type", "retry-after", "retry-after-ms"})
_QUERY = frozenset({"alt"})
_VERSIONED = re.compile(r"/(?:v\d+\w*|api)/.*")
"""Where a provider's own path begins, behind whatever a gateway puts before it."""


class HTTPFilters:
    """Turns requests and responses into what may be kept.

    Args:
        redactor: Cuts secrets out of bodies.
        rules: Gives the ignored fields of bodies.
        canonical_host: Replaces every host; None keeps them.
    """

    def __init__(self, redactor: Redactor, rules: MatchRules, canonical_host: str | None = CANONICAL_HOST) -> None:
        self._redactor = redactor
        self._rules = rules
        self._host = canonical_host

    def request(self, request: VCRRequest) -> VCRRequest:
        """A request without keys, headers and addresses that do not belong into a file."""
        parts = urlsplit(request.uri)
        query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key in _QUERY])
        scheme, host, path = parts.scheme, parts.netloc.rpartition("@")[2], parts.path
        if self._host:
            found = _VERSIONED.search(path)
            scheme, host, path = "https", self._host, found.group(0) if found else path
        uri = urlunsplit((scheme, host, self._redactor.text(path), query, ""))
        headers = _allowed(dict(request.headers), _REQUEST_HEADERS)
        return VCRRequest(request.method, uri, self._body(request.body), headers)

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """A response without keys and without headers that say who asked."""
        kept = dict(response)
        kept["headers"] = _allowed(response.get("headers") or {}, _RESPONSE_HEADERS)
        body = (response.get("body") or {}).get("string")
        kept["body"] = {"string": self._body(body) or b""}
        return kept

    def same_body(self, asked: VCRRequest, recorded: VCRRequest) -> None:
        """Match equal JSON, in any order and with any white space; else equal bytes."""
        left, right = self.comparable(asked.body), self.comparable(recorded.body)
        assert left == right, f"asked {_short(left)}, recorded {_short(right)}"

    def same(self, asked: VCRRequest, recorded: VCRRequest) -> bool:
        """Whether two filtered requests are the same one, whoever was asked."""
        left, right = urlsplit(asked.uri), urlsplit(recorded.uri)
        return (asked.method, left.path, left.query) == (recorded.method, right.path, right.query) and bool(
            self.comparable(asked.body) == self.comparable(recorded.body)
        )

    def comparable(self, body: Any) -> Any:
        """What counts of a body."""
        value = _parsed(body)
        if not isinstance(value, dict):
            return body or b""
        return self._rules.comparable_body(value)

    def _body(self, body: Any) -> Any:
        if not isinstance(body, bytes | str):
            return body
        text = body.decode("utf-8", "surrogateescape") if isinstance(body, bytes) else body
        value = _parsed(text)
        if isinstance(value, dict):
            clean = self._redactor.json(without_private_fields(value))
            if clean == value:
                return body
            text = json.dumps(clean, ensure_ascii=False)
        else:
            text = self._redactor.text(text)
        return text.encode("utf-8", "surrogateescape")


class ReadableYAML:
    """A vcrpy serializer: the same format, safely read, with JSON bodies written over several lines."""

    def __init__(self, path: object) -> None:
        self._path = path

    def deserialize(self, text: str) -> Any:
        """A cassette's content.

        Raises:
            CassetteFormatError: It is no cassette.
        """
        return parse_record(text.encode(), self._path)

    def serialize(self, record: dict[str, Any]) -> str:
        """A cassette as text."""
        for interaction in record["interactions"]:
            request, body = interaction["request"], interaction["response"].get("body") or {}
            request["body"] = _pretty(request.get("body"))
            body["string"] = _pretty(body.get("string"))
        return yaml_text.dump({"version": record["version"], "interactions": record["interactions"]})


def refuse_nonsense(item: Any, place: str) -> None:
    """Look whether an interaction is what vcrpy will take it for, before it is asked for.

    Raises:
        CassetteFormatError: It is something else.
    """
    try:
        request, response = item["request"], item["response"]
        sound = isinstance(request["method"], str) and isinstance(request["uri"], str)
        # For httpx there was another form before vcrpy's version 6, which it still reads.
        sound = sound and ("status_code" in response or isinstance(response["status"]["code"], int))
        sound = sound and ("content" in response or isinstance(response["body"], dict))
        sound = sound and all(isinstance(each.get("headers") or {}, dict) for each in (request, response))
    except (KeyError, TypeError, AttributeError) as error:
        raise CassetteFormatError(f"{place} is no request with its response: {error!r}") from error
    if not sound:
        raise CassetteFormatError(f"{place} is no request with its response: method, uri, status, headers and body")


def _allowed(headers: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name.lower(): value for name, value in headers.items() if name.lower() in names}


def _parsed(body: Any) -> Any:
    if not body or not isinstance(body, str | bytes):
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def _pretty(body: Any) -> Any:
    if isinstance(body, bytes):
        return body  # not text: kept as it is, in base64
    value = _parsed(body)
    return json.dumps(value, ensure_ascii=False, indent=2) if isinstance(value, dict | list) else body


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:299]}…"
