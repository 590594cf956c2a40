"""What is kept of HTTP traffic, and in which form it is compared: one host for all, bodies that people can read."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from vcr.request import Request as VCRRequest

from dspex_testkit.cassettes import yaml_text
from dspex_testkit.cassettes.cleaning import Filter
from dspex_testkit.cassettes.document import FORMAT, parse_record
from dspex_testkit.cassettes.http.bodies import (
    as_bytes,
    clean_body,
    comparable_body,
    json_text,
    kept_content_type,
    parsed,
)
from dspex_testkit.cassettes.http.token_endpoints import hands_out_tokens
from dspex_testkit.cassettes.matching import MatchRules, key_of
from dspex_testkit.errors import CassetteError, UsageError
from dspex_testkit.redaction import (
    LOOKS_OF_FORMAT_1,
    Redactor,
    Secret,
    credentials_of,
    is_secret_parameter,
    secrets_of_request,
)

CANONICAL_HOST = "llm.test"
"""Stands for every provider's host, so that a cassette replays behind any address."""
HTTP_FIELDS = ("method", "host", "path", "query", "body")
"""What can be matched on."""

_REQUEST_HEADERS = frozenset({"content-type", "accept", "anthropic-version"})
_OF_THE_CONNECTION = frozenset(
    [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "content-encoding",
        "trailer",
        "upgrade",
        "te",
        "proxy-authenticate",
        "proxy-connection",
        "alt-svc",
        "strict-transport-security",
        "nel",
        "report-to",
    ]
)
"""True of one connection, or of a body as it was sent; a replay has neither."""
_OF_WHO_ASKED = re.compile(
    r"(^|-)(set-cookie2?|cookie|authorization|authenticate|organization|organisation|project|account|tenant|subscription"
    r"|user|client-ip|token|secret|session)(-|$)|(^|-)api-?key$"
)
"""Response headers that say who asked, or would let others ask in that name."""
_OLD_QUERY = frozenset({"alt"})
"""All that the first format kept and compared of a query."""
_VERSIONED = re.compile(r"/(?:v\d+\w*|api)/.*")
"""Where a provider's own path begins, behind whatever a gateway puts before it."""


class HTTPFilters:
    """Turns requests and responses into what may be kept.

    Args:
        redactor: Cuts secrets out of bodies.
        rules: Gives the ignored fields of bodies, and of queries: ``query.nonce``.
        canonical_host: Replaces every host; None keeps them.
        match_on: What of a request counts: some of `HTTP_FIELDS`.
        keep_headers: Headers of requests that are kept beside the few that always are.
        filter_request: Changes what is kept and compared of a request, or drops the interaction.
        filter_response: Changes what is kept of a response, or drops the interaction.

    Raises:
        UsageError: A field that is none.
    """

    def __init__(
        self,
        redactor: Redactor,
        rules: MatchRules,
        canonical_host: str | None = CANONICAL_HOST,
        *,
        match_on: Sequence[str] = HTTP_FIELDS,
        keep_headers: Sequence[str] = (),
        filter_request: Filter | None = None,
        filter_response: Filter | None = None,
    ) -> None:
        for name in match_on:
            if name not in HTTP_FIELDS:
                raise UsageError(
                    f"match_on at the HTTP level knows no {name!r}; write some of {', '.join(HTTP_FIELDS)}"
                )
        self._redactor = redactor
        self._rules = rules
        self._host = canonical_host
        self._on = tuple(match_on)
        self._headers = _REQUEST_HEADERS | {name.lower() for name in keep_headers}
        self._ignored = {path.removeprefix("query.") for path in rules.ignore if path.startswith("query.")}
        self._filter_request = filter_request
        self._filter_response = filter_response

    def learn(self, request: VCRRequest) -> None:
        """Know the keys of a request that a provider has answered, for the answer may quote them.

        Not those of a request that is only looked up: a placeholder such as `anything` is no secret, and would be cut
        out of ordinary words.
        """
        headers = {name: str(each) for name, value in dict(request.headers).items() for each in _list(value)[:1]}
        body = as_bytes(request.body)
        fields = parsed(body) if body else None
        if body and fields is None:
            fields = dict(parse_qsl(body.decode("utf-8", "replace")))
        parts = urlsplit(request.uri)
        found = secrets_of_request(headers, dict(parse_qsl(parts.query)), fields)
        self._redactor.known.update(Secret(each, "a request's key") for each in (*found, *credentials_of(request.uri)))

    def request(self, request: VCRRequest) -> VCRRequest | None:
        """A request as it is kept, without keys, private headers and addresses; None: it is never recorded."""
        body = as_bytes(request.body)
        if hands_out_tokens(request.uri, body):
            return None
        kept = self._filtered(self._request(request, body, self._redactor))
        if kept is None:
            return None
        old = self._filtered(self._request(request, body, self._redactor.with_looks(LOOKS_OF_FORMAT_1)))
        if old is not None and (old.uri, old.body) != (kept.uri, kept.body):
            # Recordings are kept by attributes that vcrpy names, so this one stays in memory.
            kept.in_format_1 = old
        return kept

    def loaded(self, request: VCRRequest) -> VCRRequest:
        """A request of a file, which another recorder may have made, with all its headers."""
        return self._request(request, as_bytes(request.body), self._redactor)

    def response(self, response: dict[str, Any]) -> dict[str, Any] | None:
        """A response as it is kept, without keys and without headers that say who asked; None: it is not.

        Raises:
            CassetteError: Its body cannot be read, so nobody can say whether a secret stands in it.
        """
        kept = self._response(response)
        if self._filter_response is None:
            return kept
        changed = self._filter_response(_as_json(kept))
        return None if changed is None else _from_json(kept, changed)

    def kept(self, response: dict[str, Any]) -> dict[str, Any]:
        """A response of a file, which another recorder may have made, as it is kept."""
        return self._response(response)

    def _response(self, response: Mapping[str, Any]) -> dict[str, Any]:
        kept = dict(response)
        headers = {name.lower(): value for name, value in (response.get("headers") or {}).items()}
        left = [each for each in _list(headers.get("content-encoding")) if each.lower() != "identity"]
        body = as_bytes((response.get("body") or {}).get("string"))
        if left and body:
            raise CassetteError(
                f"An answer came compressed as {', '.join(left)}, and nothing here can decompress it, so nobody can "
                "say whether a secret stands in it; install the package that can (`brotli`, `zstandard`), or have the "
                "client send `Accept-Encoding: gzip`"
            )
        kept["headers"] = {
            name: [self._header(name, each) for each in _list(value)]
            for name, value in headers.items()
            if name not in _OF_THE_CONNECTION and not _OF_WHO_ASKED.search(name)
        }
        kind = next(iter(_list(headers.get("content-type"))), "")
        kept["body"] = {"string": clean_body(body, kind, self._redactor, answer=True) or b""}
        return kept

    def key(self, kept: VCRRequest, *, query: bool = True) -> bytes:
        """Equal for filtered requests that match; without `query`, as far as the first format can tell."""
        return key_of(self.comparable(kept, query=query))

    def keys(self, kept: VCRRequest) -> list[bytes]:
        """Every key under which a recording of this request may stand."""
        old = getattr(kept, "in_format_1", None)
        return [
            self.key(each, query=query) for each in (kept, *([] if old is None else [old])) for query in (True, False)
        ]

    def comparable(self, kept: VCRRequest, *, query: bool = True) -> dict[str, Any]:
        """What counts of a filtered request."""
        parts = urlsplit(kept.uri)
        pairs = sorted(parse_qsl(parts.query, keep_blank_values=True))
        found: dict[str, Any] = {
            "method": kept.method,
            "host": parts.netloc,
            "path": parts.path or "/",
            "query": [[name, value] for name, value in pairs if self._counts(name, query)],
            "body": comparable_body(as_bytes(kept.body), _content_type(kept.headers), self._rules.comparable_body),
        }
        if self._host:
            del found["host"]
        return {"whole": query, **{name: value for name, value in found.items() if name in self._on}}

    def _counts(self, name: str, whole: bool) -> bool:
        return name not in self._ignored and (whole or name in _OLD_QUERY)

    def _request(self, request: VCRRequest, body: bytes | None, redactor: Redactor) -> VCRRequest:
        parts = urlsplit(request.uri)
        headers = {
            name.lower(): value for name, value in dict(request.headers).items() if name.lower() in self._headers
        }
        kind = _content_type(headers)
        if kind:
            headers["content-type"] = kept_content_type(kind)
        kept = {name: redactor.text(str(_list(value)[0])) for name, value in headers.items()}
        return VCRRequest(request.method, self._uri(parts, redactor), clean_body(body, kind, redactor), kept)

    def _uri(self, parts: Any, redactor: Redactor) -> str:
        """An address without credentials, of the canonical host."""
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = [(name, redactor.text(value)) for name, value in pairs if not is_secret_parameter(name)]
        scheme, host, path = parts.scheme, parts.netloc.rpartition("@")[2], parts.path
        if self._host and host:
            found = _VERSIONED.search(path)
            scheme, host, path = "https", self._host, found.group(0) if found else path
        return str(urlunsplit((scheme, host, redactor.text(path), urlencode(query), "")))

    def _header(self, name: str, value: Any) -> str:
        text = str(value)
        if name in ("location", "content-location"):
            return self._uri(urlsplit(text), self._redactor)
        return kept_content_type(text) if name == "content-type" else self._redactor.text(text)

    def _filtered(self, kept: VCRRequest) -> VCRRequest | None:
        if self._filter_request is None:
            return kept
        said = {"method": kept.method, "uri": kept.uri, "headers": dict(kept.headers), "body": _value(kept.body)}
        changed = self._filter_request(said)
        if changed is None:
            return None
        body = changed.get("body")
        body = kept.body if body == _value(kept.body) else _body(body)
        return VCRRequest(changed["method"], changed["uri"], body, changed["headers"])


class ReadableYAML:
    """A vcrpy serializer: the same format, safely read, with JSON bodies written over several lines."""

    def __init__(self, path: object, format: int = FORMAT) -> None:
        self._path = path
        self.format = format

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
        metadata = {"dspex_testkit": {"level": "http", "format": self.format}} if self.format > 1 else None
        extra = {} if metadata is None else {"metadata": metadata}
        return yaml_text.dump({"version": record["version"], **extra, "interactions": record["interactions"]})


def _content_type(headers: Any) -> str:
    for name, value in dict(headers).items():
        if name.lower() == "content-type":
            return str(next(iter(_list(value)), ""))
    return ""


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _value(body: Any) -> Any:
    """A body for a user's filter: as JSON, else as text."""
    content = as_bytes(body)
    if content is None:
        return None
    value = parsed(content)
    return content.decode("utf-8", "surrogateescape") if value is None else value


def _body(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json_text(value)).encode("utf-8", "surrogateescape")


def _as_json(response: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": response["status"]["code"],
        "headers": dict(response["headers"]),
        "body": _value(response["body"]["string"]),
    }


def _from_json(kept: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    body = changed.get("body")
    content = kept["body"]["string"] if body == _value(kept["body"]["string"]) else _body(body) or b""
    status = {**kept["status"], "code": changed.get("status", kept["status"]["code"])}
    return {**kept, "status": status, "headers": changed["headers"], "body": {"string": content}}


def _pretty(body: Any) -> Any:
    if isinstance(body, bytes):
        return body  # not text: kept as it is, in base64
    value = parsed(body) if isinstance(body, str) and body else None
    if isinstance(value, dict | list):
        return json_text(value, indent=2)
    return yaml_text.without_half_pairs(body) if isinstance(body, str) else body
