"""What a secret is, what it looks like, and how it is cut out; everything that leaves or is written goes through here.

A secret is known by its place: the key of an LM, a header, a variable of the environment, the password in an address.
Known secrets are cut wherever they stand, in any of the forms in which they travel: as they are, URL-encoded, in
base64, escaped in JSON, and spread over the events of a stream. What nobody has named can only look like a secret: it
has the beginning of a well-known provider's keys, or stands in a field such as `client_secret`. That is cut out of
errors and recordings, and never out of an answer on its way to whoever asked for it.
"""

import base64
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlencode, urlsplit, urlunsplit

from dspex_testkit.errors import UsageError
from dspex_testkit.patterns import AnyPattern, BoundedPattern

REDACTED: Final = "[redacted]"
SHORTEST: Final = 8
"""Shorter values ("offline", "test") are no secrets, and would be cut out of ordinary words."""

_FEW: Final = 64
"""Up to so many spellings are looked for one after the other."""
_SAMPLE: Final = 4
"""Characters of a sample, by which more of them are looked for together."""
_STEP: Final = SHORTEST - _SAMPLE + 1
"""From one sample of a text to the next, so that no part of `SHORTEST` characters is without one."""

_VARIABLE: Final = re.compile(
    r"(_API_?KEY|_TOKEN|_SECRET|_SECRET_KEY|_PASSWORD|_ACCESS_KEY|_ACCESS_KEY_ID|_API_SECRET)$"
)
_TOKEN_FIELDS: Final = frozenset(
    {
        "access_token",
        "refresh_token",
        "id_token",
        "session_token",
        "client_secret",
        "client_assertion",
        "secret_access_key",
        "aws_secret_access_key",
        "access_key_id",
        "aws_access_key_id",
        "aws_session_token",
        "azure_ad_token",
        "api_key",
        "private_key",
    }
)
"""What stands in a field of one of these names is a secret, in whatever it stands; in any spelling: `SessionToken`."""
_CONFIG_FIELDS: Final = _TOKEN_FIELDS | {
    "authorization",
    "proxy_authorization",
    "x_api_key",
    "x_goog_api_key",
    "ocp_apim_subscription_key",
    "x_amz_security_token",
    "cookie",
    "token",
    "auth_token",
    "bearer_token",
    "password",
    "secret",
    "secret_key",
    "vertex_credentials",
}
"""What says who asks, where a client says how an LM is to be asked: in configs and headers."""
_QUERY_FIELDS: Final = _CONFIG_FIELDS | {"key", "sig", "subscription_key", "x_amz_signature", "x_amz_credential"}
_CONTENT: Final = frozenset(
    {"inputs", "input", "outputs", "fields", "value", "responses", "rules", "script", "mock", "answers", "demos"}
)
"""Under these names stands what clients ask and what mocks are to answer; nothing in it is a secret by its place."""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_SCHEMA_TYPES: Final = frozenset(
    {"string", "number", "integer", "boolean", "array", "object", "null", "str", "int", "float", "bool", "list", "dict"}
)
_FEWEST_DIGITS: Final = 6
"""A number in a token's place that is shorter is none."""

_TOKENS: Final = frozenset(map(_plain, _TOKEN_FIELDS))
_CONFIGS: Final = frozenset(map(_plain, _CONFIG_FIELDS))
_QUERIES: Final = frozenset(map(_plain, _QUERY_FIELDS))


# -- What is known ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be shown, and a name to show in its place."""

    value: str = field(repr=False)
    name: str = "a key"


class Form(NamedTuple):
    """One way in which a secret may be spelt."""

    text: str
    disguise: str
    """How, for people; empty for the secret itself."""
    secret: Secret


class Secrets:
    """The secrets that are known, a set; safe to use from threads.

    Args:
        secrets: Those of the beginning.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._known: dict[str, Secret] = {}
        self._forms: dict[str, Form] = {}
        self._starts = _Parts()
        self._ends = _Parts()
        self._lock = threading.Lock()
        self.update(secrets)

    def add(self, value: object, name: str = "a key") -> None:
        """Know one more; what is no text, or too short to be a secret, is none."""
        if isinstance(value, str):
            self.update([Secret(value, name)])

    def learn(self, value: Any) -> None:
        """Know what stands where secrets stand, in arguments, a config or settings: see `secrets_by_place`."""
        self.update(map(Secret, secrets_by_place(value)))

    def update(self, secrets: Iterable[Secret]) -> None:
        """Know more."""
        with self._lock:
            for secret in secrets:
                if len(secret.value) >= SHORTEST and secret.value not in self._known and secret.value not in REDACTED:
                    self._known[secret.value] = secret
                    for form in _forms(secret):
                        self._learn(form)

    def _learn(self, form: Form) -> None:
        if form.text not in self._forms:
            self._forms[form.text] = form
            self._starts.add(form.text[:SHORTEST], form)
            if not form.disguise:
                self._ends.add(form.text[-SHORTEST:], form)

    def find(self, text: str, *, beginnings: bool = False) -> Iterator[tuple[int, int, Form]]:
        """Where secrets stand in a text, and in which form.

        Args:
            text: The text.
            beginnings: Also where only the first or the last characters stand.
        """
        for start, places in self._starts.places(text).items():
            for form in self._starts[start]:
                yield from ((place, place + len(form.text), form) for place in _whole(form.text, text, places))
                if beginnings and not form.disguise:
                    yield from ((*span, form) for span in _beginnings(form.text, text, places))
        for end, places in self._ends.places(text).items() if beginnings else ():
            for form in self._ends[end]:
                yield from ((*span, form) for span in _endings(form.text, text, places))

    def __iter__(self) -> Iterator[Secret]:
        with self._lock:
            return iter(tuple(self._known.values()))

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, value: object) -> bool:
        return value in self._known

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secrets":
        return self


class _Parts:
    """Beginnings or ends of what is looked for, all of them `SHORTEST` long, and what each belongs to."""

    def __init__(self) -> None:
        self._forms: dict[str, list[Form]] = {}
        self._samples: set[str] = set()

    def add(self, part: str, form: Form) -> None:
        """Look for one more."""
        self._samples.update(part[place : place + _SAMPLE] for place in range(_STEP))
        self._forms.setdefault(part, []).append(form)

    def __getitem__(self, part: str) -> Sequence[Form]:
        return self._forms[part]

    def places(self, text: str) -> dict[str, list[int]]:
        """Where which of them stand in a text.

        Where every client has a key of its own, looking for one after the other would take too long. Of each of these
        parts, wherever it stands, one sample begins at a multiple of `_STEP`: only those places of the text are looked
        at. Unlike an automaton or an alternation of all parts, the set of samples may grow with each key.
        """
        if len(self._forms) <= _FEW:
            return {part: list(_places(part, text)) for part in tuple(self._forms) if part in text}
        found: dict[str, list[int]] = {}
        samples = self._samples
        for sample in [at for at in range(0, len(text), _STEP) if text[at : at + _SAMPLE] in samples]:
            for place in range(max(sample - _STEP + 1, 0), sample + 1):
                if (part := text[place : place + SHORTEST]) in self._forms:
                    found.setdefault(part, []).append(place)
        return found


def _places(part: str, text: str) -> Iterator[int]:
    place = text.find(part)
    while place >= 0:
        yield place
        place = text.find(part, place + 1)


def _whole(secret: str, text: str, starts: Sequence[int]) -> Iterator[int]:
    if len(starts) <= _FEW:
        passed = 0
        for place in starts:
            if place >= passed and text.startswith(secret, place):
                yield place
                passed = place + len(secret)
        return
    # A text that is little else than beginnings is searched in the time of its length, and not of its square.
    place = text.find(secret)
    while place >= 0:
        yield place
        place = text.find(secret, place + len(secret))


# What was compared is not compared again: a key and a text of one letter would take the square of their length.


def _beginnings(secret: str, text: str, places: Sequence[int]) -> Iterator[tuple[int, int]]:
    passed = 0
    for place in places:
        if place >= passed:
            longest = min(len(secret), len(text) - place)
            unequal = (count for count in range(SHORTEST, longest) if secret[count] != text[place + count])
            passed = place + next(unequal, longest)
            yield place, passed


def _endings(secret: str, text: str, places: Sequence[int]) -> Iterator[tuple[int, int]]:
    passed = len(text)
    for place in reversed(places):
        if (end := place + SHORTEST) <= passed:
            longest = min(len(secret), end)
            unequal = (count for count in range(SHORTEST, longest) if secret[-1 - count] != text[end - 1 - count])
            passed = end - next(unequal, longest)
            yield passed, end


_PERCENT: Final = re.compile("%[0-9A-F]{2}")


def _forms(secret: Secret) -> Iterator[Form]:
    value = secret.value
    yield Form(value, "", secret)
    quoted = {quote(value, safe=""), quote_plus(value), quote(value)}
    for encoded in {*quoted, *(_PERCENT.sub(lambda found: found[0].lower(), each) for each in quoted)} - {value}:
        yield Form(encoded, " (URL-encoded)", secret)
    raw = value.encode("utf-8", "surrogatepass")
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(b"\0" * shift + raw).decode().rstrip("=")
            # The characters at both ends also depend on the neighbours.
            start = (shift * 8 + 5) // 6
            end = (shift + len(raw)) * 8 // 6
            if end - start >= SHORTEST:
                yield Form(coded[start:end], " (base64)", secret)
    once = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    for escaped in {*once, *(json.dumps(each)[1:-1] for each in once)} - {value}:
        yield Form(escaped, " (escaped)", secret)
    yield Form("".join(f"\\u{ord(char):04x}" for char in value), " (escaped)", secret)


def secrets_of_environment(environ: Mapping[str, str] | None = None) -> frozenset[Secret]:
    """The values of variables that hold keys, named by the variable."""
    environ = os.environ if environ is None else environ
    return frozenset(Secret(value, name) for name, value in environ.items() if _VARIABLE.search(name))


def secrets_by_place(value: Any) -> Iterator[str]:
    """What stands where secrets stand, in the arguments of a request, a config or the settings of a client.

    Fields and headers such as `api_key`, also in lists of pairs, and the credentials in addresses; never what is asked
    or answered.
    """
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            yield from credentials_of(item)
        elif isinstance(item, Mapping):
            for name, inner in item.items():
                if isinstance(name, str) and _plain(name) in _CONFIGS:
                    for each in _values_of(inner):
                        yield from _tokens_of(each)
                if name not in _CONTENT:
                    left.append(inner)
            if isinstance(item.get("value"), str) and _plain(str(item.get("name"))) in _CONFIGS:
                yield from _tokens_of(item["value"])
        elif isinstance(item, list | tuple):
            left.extend(item)
            if len(item) == 2 and all(isinstance(each, str) for each in item) and _plain(item[0]) in _CONFIGS:
                yield from _tokens_of(item[1])


def secrets_of_request(headers: Mapping[str, str], query: Mapping[str, str], body: object = None) -> list[str]:
    """The keys that an HTTP request carries: in its headers, its query, and the fields of tokens in its body."""
    found = [token for name, value in headers.items() if _plain(name) in _CONFIGS for token in _tokens_of(value)]
    found += [value for name, value in query.items() if value and _plain(name) in _QUERIES]
    fields = body.items() if isinstance(body, Mapping) else ()
    return found + [each for name, value in fields if is_token_field(str(name)) for each in _values_of(value) if each]


def _values_of(given: Any) -> Iterator[str]:
    """The texts and numbers in a secret's place: one, a list of them, or a map whose `value` is one."""
    for each in given if isinstance(given, list | tuple) else [given]:
        item = each.get("value") if isinstance(each, Mapping) else each
        if isinstance(item, str):
            yield item
        elif _is_long_number(item):
            with suppress(ValueError):  # thousands of digits
                yield str(item)


def _is_long_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(abs(value) >= 10 ** (_FEWEST_DIGITS - 1))


def _tokens_of(value: str) -> Iterator[str]:
    """A value in a secret's place, and what is secret within it: `Bearer KEY`, `Basic BASE64`."""
    scheme, blank, token = value.strip().partition(" ")
    if blank and scheme.lower() in ("bearer", "basic", "token", "key"):
        token = token.strip()
        yield token
        if scheme.lower() == "basic":
            with suppress(ValueError):
                name, _, password = base64.b64decode(token, validate=True).decode().partition(":")
                yield password or name
    elif value:
        yield value


def credentials_of(address: str) -> Iterator[str]:
    """The user's name and password in an address, and the keys in its query."""
    if "@" not in address and "?" not in address:
        return
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    if not parts.netloc:
        return
    user, found, _ = parts.netloc.rpartition("@")
    if found:
        name, _, password = user.partition(":")
        yield from {password or name, unquote(password or name)}
    yield from (value for name, value in parse_qsl(parts.query) if _plain(name) in _QUERIES)


def without_credentials(address: str) -> str:
    """An address as it may be shown and kept."""
    if not any(True for _ in credentials_of(address)):
        return address
    parts = urlsplit(address)
    query = [(name, value) for name, value in parse_qsl(parts.query, True) if not is_secret_parameter(name)]
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=urlencode(query)))


def is_secret_parameter(name: str) -> bool:
    """Whether what a query says under this name is a secret."""
    return _plain(name) in _QUERIES


def is_token_field(name: str) -> bool:
    """Whether what a body says under this name is a secret, in any spelling."""
    return _plain(name) in _TOKENS


def _may_hold_token(name: object) -> bool:
    return isinstance(name, str) and ((plain := _plain(name)) in _TOKENS or plain == "token")


def _is_schema(value: Mapping[Any, Any]) -> bool:
    """Whether a map describes a field, and is not what stands in it."""
    kinds = value.get("type")
    said = kinds if isinstance(kinds, list | tuple) else [kinds]
    if any(isinstance(kind, str) and kind.lower() in _SCHEMA_TYPES for kind in said):
        return True
    return any(key in value for key in ("$ref", "anyOf", "oneOf", "allOf"))


# -- What looks like one ---------------------------------------------------------------------------------------------


class Shape(NamedTuple):
    """What secrets of one kind look like."""

    pattern: re.Pattern[str]
    """Its first group is the secret; the whole, where it has none."""
    hints: tuple[str, ...]
    """In small letters. Every match holds one of them; looking for these first is much cheaper."""
    random: bool = True
    """Whether the secret also has to look like one: letters with digits, or capitals where no word has any."""


_TOKEN_NAME: Final = "(?:" + "|".join("[_-]?".join(name.split("_")) for name in sorted(_TOKEN_FIELDS)) + ")"
_TOKEN_HINTS: Final = (
    *("oken", "ecret", "ssertion", "api_key", "api-key", "apikey", "private_key", "private-key", "privatekey"),
    *("key_id", "key-id", "keyid"),
)
_WITHIN: Final = r"(?:\{\s*[\"'\\]{1,4}value[\"'\\]{1,4}\s*:\s*)?"
"""Before what stands in a map of its own."""
_ADDRESS_NAME: Final = "(?:key|api[_-]?key|access[_-]?token|sig|subscription-key)"

SHAPES: Final = (
    Shape(re.compile(r"(?<![A-Za-z0-9])(?:sk|csk|pcsk)[-_][A-Za-z0-9_-]{16,}"), ("sk-", "sk_")),
    Shape(re.compile(r"\bAIza[0-9A-Za-z_-]{30,}"), ("aiza",), random=False),
    Shape(
        re.compile(r"\b(?:gsk_|xai-|pplx-|hf_|gh[opsur]_|r8_|ek_)(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{16,}"),
        ("gsk_", "xai-", "pplx-", "hf_", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "r8_", "ek_"),
        random=False,
    ),
    Shape(
        re.compile(r"\b(?:glpat-|nvapi-|xox[abeprs]-)(?=[a-z_-]*[A-Z0-9])[A-Za-z0-9_-]{16,}"),
        ("glpat-", "nvapi-", "xox"),
        random=False,
    ),
    Shape(re.compile(r"\bgithub_pat_[A-Za-z0-9_]{20,}"), ("github_pat_",)),
    Shape(re.compile(r"\bA[KS]IA[0-9A-Z]{16}\b"), ("akia", "asia"), random=False),
    Shape(re.compile(r"\b(?:org-|proj_)[A-Za-z0-9]{16,}"), ("org-", "proj_")),
    Shape(re.compile(r"\bya29\.[A-Za-z0-9_-]{16,}"), ("ya29.",)),
    Shape(re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), ("eyj",), random=False),
    Shape(re.compile(r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{16,}=*)"), ("bearer",)),
    Shape(
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
        ("private key",),
        random=False,
    ),
    Shape(re.compile(r"://[^/\s:@\"'<>]*:([^/\s@\"'<>]{4,})@"), ("://",), random=False),
    Shape(re.compile(rf"(?i)[?&]{_ADDRESS_NAME}=([^&\s\"'<>()]{{8,}})"), ("key=", "oken=", "sig=")),
    # Within texts: JSON or its escapes, the XML of security services, forms.
    Shape(
        re.compile(rf"(?i)\b{_TOKEN_NAME}[\"'\\]{{1,4}}\s*[:=]\s*{_WITHIN}[\"'\\]{{1,4}}((?:[^\"'\\\s]|\\/){{6,}})"),
        _TOKEN_HINTS,
        random=False,
    ),
    Shape(
        re.compile(
            rf"(?i)\b{_TOKEN_NAME}[\"'\\]{{1,4}}\s*[:=]\s*{_WITHIN}"
            rf"(-?[0-9]{{{_FEWEST_DIGITS},}}(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
        ),
        _TOKEN_HINTS,
        random=False,
    ),
    Shape(
        re.compile(rf"(?i)<(?:[\w.-]+:)?{_TOKEN_NAME}(?:\s[^<>]*)?>\s*(?:<!\[CDATA\[)?([^<\s\]]{{6,}})"),
        _TOKEN_HINTS,
        random=False,
    ),
    Shape(re.compile(rf"(?i)\b{_TOKEN_NAME}=([^&\s\"'<>();,]{{8,}})"), _TOKEN_HINTS),
)
"""The one list. A secret that no longer fits is added here, and is then cut everywhere."""

_OLD: Final = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}|\bAIza[0-9A-Za-z_-]{30,}|\b(?:gsk_|xai-|pplx-|hf_|ghp_|gho_|ghs_)[A-Za-z0-9_-]{16,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{20,}|\bAKIA[0-9A-Z]{16}\b|\borg-[A-Za-z0-9]{16,}|\bproj_[A-Za-z0-9]{16,}"
    r"|(?i:\bbearer\s+[A-Za-z0-9._~+/-]{16,}=*)"
)
_OLD_HINTS: Final = ("sk-", "aiza", "gsk_", "xai-", "pplx-", "hf_", "gh", "akia", "org-", "proj_", "bearer")


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """By which looks a secret is recognised that nobody has named."""

    shapes: tuple[Shape, ...] = ()
    fields: bool = False
    """Whether whatever stands in a field such as `access_token` is one."""

    def suspected(self, text: str) -> tuple[Shape, ...]:
        """The shapes that are worth a try."""
        if not self.shapes:
            return ()
        return _remembered(self, text) if len(text) <= _LONGEST_REMEMBERED else _suspected(self, text)


def _suspected(looks: Looks, text: str) -> tuple[Shape, ...]:
    small = text.lower()
    return tuple(shape for shape in looks.shapes if any(hint in small for hint in shape.hints))


# A program's instructions come with every call. Pictures and documents, which are longer, would fill the memory.
_remembered = lru_cache(maxsize=256)(_suspected)
_LONGEST_REMEMBERED: Final = 32_768


NO_LOOKS: Final = Looks()
"""For answers, which arrive as they were given."""
LOOKS: Final = Looks(SHAPES, fields=True)
"""For errors, and for whatever is written."""
LOOKS_OF_FORMAT_1: Final = Looks((Shape(_OLD, _OLD_HINTS, random=False),))
"""By which cassettes of the first format were redacted; what is compared with them has to be cut in the same way."""

_RUN: Final = re.compile(r"[A-Za-z0-9]{8,}")
_WORDS: Final = re.compile(r"(?:[A-Z]?[a-z]{2,}|[A-Z]{2,})+|[a-z]+|[A-Z]+")


def _is_random(text: str) -> bool:
    """Whether no words could have made it: a run with digits, or with capitals in the midst of small letters."""
    return any(not _WORDS.fullmatch(run) for run in _RUN.findall(text))


# -- How it is cut out -----------------------------------------------------------------------------------------------

Span = tuple[int, int]


@dataclass(frozen=True)
class Redactor:
    """Cuts secrets out of texts and JSON values.

    Args:
        known: The secrets that are known; shared, for it may learn more.
        looks: By which looks others are recognised.
        patterns: A user's own, beside them.
        beginnings: Also cut the beginning or the end that is left of a known secret where a text was shortened, as
            those of errors and of failed assertions are.
    """

    known: Secrets = field(default_factory=lambda: Secrets(secrets_of_environment()))
    looks: Looks = LOOKS
    patterns: tuple[AnyPattern, ...] = ()
    beginnings: bool = False

    def with_looks(self, looks: Looks) -> "Redactor":
        """The same with other looks."""
        return replace(self, looks=looks)

    def concerns(self, value: Any) -> bool:
        """Whether a JSON value may hold anything to cut out; quickly, and rather too often than not."""
        if self.patterns:
            return True
        if not self.known and self.looks is NO_LOOKS:
            return False
        left = [value]
        while left:
            item = left.pop()
            if isinstance(item, str):
                if len(item) >= SHORTEST and (self._knows_of(item) or self.looks.suspected(item)):
                    return True
            elif isinstance(item, Mapping):
                if self.looks.fields and any(map(_may_hold_token, item)):
                    return True
                left += item
                left += item.values()
            elif isinstance(item, list | tuple):
                left += item
        return False

    def _knows_of(self, text: str) -> bool:
        return any(True for _ in self.known.find(text, beginnings=self.beginnings))

    def text(self, text: str) -> str:
        """A text without secrets."""
        return _cut([text], spans)[0] if (spans := self._spans(text)) else text

    def json(self, value: Any) -> Any:
        """A JSON value without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self._name(name): self._field(name, item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        return value

    def events(self, events: Sequence[Any]) -> list[Any]:
        """The events of one stream, also without a secret that is spread over several of them."""
        clean: list[Any] = self.json(list(events))
        pieces: dict[str, list[tuple[Any, Any]]] = {}
        for event in clean:
            _collect(event, "", pieces)
        for places in pieces.values():
            texts = [container[name] for container, name in places]
            if len(texts) > 1 and (spans := self._spans("".join(texts))):
                for (container, name), text in zip(places, _cut(texts, spans), strict=True):
                    container[name] = text
        return clean

    def _field(self, name: object, value: Any) -> Any:
        if not (self.looks.fields and value and _may_hold_token(name)):
            return self.json(value)
        if _plain(str(name)) in _TOKENS:
            return self._token(value)
        # A token of a text elsewhere: only where it is a thing of its own, `{"value": …}`.
        return self._described(value, only_value=True) if isinstance(value, Mapping) else self.json(value)

    def _token(self, value: Any) -> Any:
        """What stands in the field of a token, without it."""
        if isinstance(value, list | tuple):
            return [self._token(item) for item in value]
        if isinstance(value, Mapping) and not _is_schema(value):
            return self._described(value)
        if (isinstance(value, str) and value) or _is_long_number(value):
            return REDACTED
        return self.json(value)

    def _described(self, value: Mapping[Any, Any], *, only_value: bool = False) -> Any:
        """A token with what is said of it, such as when it expires."""
        return {
            self._name(name): self._token(item)
            if name == "value" or not (only_value or isinstance(item, int | float))
            else self._field(name, item)
            for name, item in value.items()
        }

    def _name(self, name: Any) -> Any:
        return self.text(name) if isinstance(name, str) else name

    def _spans(self, text: str) -> list[Span]:
        """What is to be cut, in order, without overlaps."""
        if len(text) < SHORTEST and not self.patterns:
            return []
        found = [(start, end) for start, end, _ in self.known.find(text, beginnings=self.beginnings)]
        for shape in self.looks.suspected(text):
            group = min(shape.pattern.groups, 1)
            matches = shape.pattern.finditer(text)
            found += [each.span(group) for each in matches if not shape.random or _is_random(each.group(group))]
        for pattern in self.patterns:
            found += [each.span() for each in pattern.finditer(text) if each.group()]
        return _merged(found) if found else found


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _cut(pieces: Sequence[str], spans: Sequence[Span]) -> list[str]:
    """The pieces of a text without these spans of the whole; a mark stands where each began."""
    cut, offset = [], 0
    for piece in pieces:
        kept, place = [], 0
        for start, end in ((start - offset, end - offset) for start, end in spans):
            if end <= 0 or start >= len(piece):
                continue
            kept.append(piece[place : max(start, 0)])
            if start >= 0:
                kept.append(REDACTED)
            place = min(end, len(piece))
        cut.append("".join([*kept, piece[place:]]))
        offset += len(piece)
    return cut


def _collect(value: Any, group: str, pieces: dict[str, list[tuple[Any, Any]]]) -> None:
    """Sort the texts of an event by what they are pieces of: the same place, and the same index where it has one."""
    if isinstance(value, dict):
        index = "".join(f"[{name}={item}]" for name, item in value.items() if "index" in name and type(item) is int)
        for name, item in value.items():
            if isinstance(item, str):
                pieces.setdefault(f"{group}{index}.{name}", []).append((value, name))
            else:
                _collect(item, f"{group}{index}.{name}", pieces)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            if isinstance(item, str):
                pieces.setdefault(f"{group}[*]", []).append((value, position))
            else:
                _collect(item, f"{group}[*]", pieces)


def count_redactions(value: Any, place: str = "") -> Counter[str]:
    """How often something was cut out, by place."""
    if isinstance(value, str):
        return Counter({place: value.count(REDACTED)}) if REDACTED in value else Counter()
    items: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        items = ((f"{place}.{name}".lstrip("."), item) for name, item in value.items())
    elif isinstance(value, list | tuple):
        items = ((f"{place}[{position}]", item) for position, item in enumerate(value))
    return sum((count_redactions(item, inner) for inner, item in items), Counter())


def error_redactor(known: Secrets) -> Redactor:
    """Cuts out of errors what is known, also where it was shortened, and what looks like a secret."""
    return Redactor(known, LOOKS, beginnings=True)


_ERRORS: Final = error_redactor(Secrets())


Redactors = tuple[Redactor, Redactor]
"""What cuts secrets out of what was asked and answered, and out of what went wrong."""


def redactors_of(values: Iterable[str]) -> Redactors:
    """Cut these values alone out of calls: they were told to be secrets."""
    known = Secrets(Secret(value, "a secret of an answer") for value in values)
    return Redactor(known, NO_LOOKS), error_redactor(known)


def redact_error(text: str) -> str:
    """The text of an error without whatever looks like a secret, where nobody can say which are known."""
    return _ERRORS.text(text)


def compile_patterns(patterns: Iterable[str | AnyPattern]) -> tuple[AnyPattern, ...]:
    """A user's patterns, compiled.

    Raises:
        UsageError: One is no regular expression.
    """
    return tuple(_compiled(pattern) for pattern in patterns)


def _compiled(pattern: str | AnyPattern) -> AnyPattern:
    if isinstance(pattern, BoundedPattern):
        return pattern
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}") from None
