"""What is kept of HTTP traffic, and in which form: an allow-list, one host for all, bodies that people can read."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from vcr.request import Request as VCRRequest

from dspex_testkit.cassettes import yaml_text
from dspex_testkit.cassettes.cleaning import without_private_fields
from dspex_testkit.cassettes.document import parse_record
from dspex_testkit.cassettes.matching import MatchRules
from dspex_testkit.cassettes.token_endpoints import hands_out_tokens
from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.redaction import LOOKS_OF_FORMAT_1, REDACTED, Redactor, is_token_field

CANONICAL_HOST = "llm.test"
"""Stands for every provider's host, so that a cassette replays behind any address."""

_REQUEST_HEADERS = frozenset({"content-type", "accept", "anthropic-version"})
_RESPONSE_HEADERS = frozenset({"content-type", "retry-after", "retry-after-ms"})
_QUERY = frozenset({"alt"})
_FORM = re.compile(r"[\w.%+-]+=[^&\s]*(?:&[\w.%+-]+=[^&\s]*)*")
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

    def request(self, request: VCRRequest) -> VCRRequest | None:
        """A request without keys, headers and addresses that do not belong into a file; None: it is never recorded."""
        if hands_out_tokens(request.uri, request.body):
            return None
        kept = self._request(request, self._redactor)
        old = self._request(request, self._redactor.with_looks(LOOKS_OF_FORMAT_1))
        if (old.uri, old.body) != (kept.uri, kept.body):
            # Recordings are kept by attributes that vcrpy names, so this one stays in memory.
            kept.in_format_1 = old
        return kept

    def _request(self, request: VCRRequest, redactor: Redactor) -> VCRRequest:
        parts = urlsplit(request.uri)
        query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key in _QUERY])
        scheme, host, path = parts.scheme, parts.netloc.rpartition("@")[2], parts.path
        if self._host:
            found = _VERSIONED.search(path)
            scheme, host, path = "https", self._host, found.group(0) if found else path
        uri = urlunsplit((scheme, host, redactor.text(path), query, ""))
        headers = _allowed(dict(request.headers), _REQUEST_HEADERS)
        return VCRRequest(request.method, uri, _body_without_secrets(request.body, redactor), headers)

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """A response without keys and without headers that say who asked."""
        kept = dict(response)
        kept["headers"] = _allowed(response.get("headers") or {}, _RESPONSE_HEADERS)
        body = (response.get("body") or {}).get("string")
        kept["body"] = {"string": _body_without_secrets(body, self._redactor) or b""}
        return kept

    def same_path(self, asked: VCRRequest, recorded: VCRRequest) -> None:
        """Match equal paths, by today's rules of redaction or by those of the first format."""
        assert recorded.path in {each.path for each in _spellings(asked)}, f"{asked.path} != {recorded.path}"

    def same_body(self, asked: VCRRequest, recorded: VCRRequest) -> None:
        """Match equal JSON, in any order and with any white space; else equal bytes; by any rules of redaction."""
        left, right = [self.comparable(each.body) for each in _spellings(asked)], self.comparable(recorded.body)
        assert right in left, f"asked {_short(left[0])}, recorded {_short(right)}"

    def same(self, asked: VCRRequest, recorded: VCRRequest) -> bool:
        """Whether two filtered requests are the same one, whoever was asked."""
        right = urlsplit(recorded.uri)
        return any(
            (each.method, left.path, left.query) == (recorded.method, right.path, right.query)
            and bool(self.comparable(each.body) == self.comparable(recorded.body))
            for each in _spellings(asked)
            if (left := urlsplit(each.uri))
        )

    def comparable(self, body: Any) -> Any:
        """What counts of a body."""
        value = _parsed(body)
        if not isinstance(value, dict):
            return body or b""
        return self._rules.comparable_body(value)


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


def _spellings(asked: VCRRequest) -> list[VCRRequest]:
    """A request as it is kept today, and as it was in the first format."""
    old = getattr(asked, "in_format_1", None)
    return [asked] if old is None else [asked, old]


def _body_without_secrets(body: Any, redactor: Redactor) -> Any:
    if not isinstance(body, bytes | str):
        return body
    text = body.decode("utf-8", "surrogateescape") if isinstance(body, bytes) else body
    value = _parsed(text)
    if isinstance(value, dict | list):
        clean = redactor.json(without_private_fields(value) if isinstance(value, dict) else value)
        if clean == value:
            return body
        text = json.dumps(clean, ensure_ascii=False)
    else:
        text = redactor.text(_form_without_secrets(_events_without_secrets(text, redactor), redactor))
    return text.encode("utf-8", "surrogateescape")


def _events_without_secrets(text: str, redactor: Redactor) -> str:
    """Server-sent events, or lines of JSON, without secrets that are spread over several of them."""
    lines = text.split("\n")
    events = {
        number: value
        for number, line in enumerate(lines)
        if isinstance(value := _parsed(line.removeprefix("data:").strip()), dict | list)
    }
    for number, clean in zip(events, redactor.events([*events.values()]), strict=True):
        if clean != events[number]:
            before = "data: " if lines[number].startswith("data:") else ""
            after = "\r" if lines[number].endswith("\r") else ""
            lines[number] = before + json.dumps(clean, ensure_ascii=False) + after
    return "\n".join(lines)


def _form_without_secrets(text: str, redactor: Redactor) -> str:
    """A form without what stands in the fields of tokens."""
    if not redactor.looks.fields or not _FORM.fullmatch(text):
        return text
    fields = [field.partition("=") for field in text.split("&")]
    return "&".join(f"{name}={REDACTED if is_token_field(name) and value else value}" for name, _, value in fields)


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
