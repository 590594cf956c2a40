"""When two requests are the same one: what counts, and in which form it is compared.

A request is never compared with recordings one by one. `comparable` reduces it to what counts: the fields of `match_on`
without the paths of `ignore`, with texts in which white space is one blank and `ignore_patterns` are cut out, whole
floats as integers, and schemas in one order. `key` is a digest of that. A cassette keeps its recordings by key
(`playback`), so a look-up takes as long among ten thousand recordings as among ten; two requests match when their
keys are equal. Only after a miss is a request held against recordings field by field, to name the nearest
(`misses`).
"""

import hashlib
import json
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from dspex_testkit.cassettes.playback import Exhausted
from dspex_testkit.cassettes.remembered import remembering_texts
from dspex_testkit.cassettes.schemas import comparable_schema
from dspex_testkit.errors import UsageError
from dspex_testkit.patterns import AnyPattern, BoundedPattern
from dspex_testkit.redaction import compile_patterns

FIELDS = ("model", "messages", "tools", "response_format", "params")
"""What can be matched on; `messages` includes the system message."""

_EXHAUSTED = ("error", "last", "cycle")
_NEVER = frozenset({"user_id", "cache"})
"""Parameters that change who is billed or what is cached, not what is asked."""
_STEP = re.compile(r"([^.\[\]]+)|\[(\*|\d+)\]")
_PATH = re.compile(r"[^.\[\]\s]+(\[(\*|\d+)\])*(\.[^.\[\]\s]+(\[(\*|\d+)\])*)*")


@dataclass(frozen=True)
class MatchRules:
    """How an asked request is compared with recorded ones.

    Args:
        on: Which of `FIELDS` count.
        params: Names of the parameters that count, such as ``("temperature",)``; None: all that were sent.
        ignore: Paths that do not count: into the canonical request (``config.seed``, ``messages[*].parts[*].id``), or
            ``inputs.today`` for what a prompt says of the signature's input ``today``.
        ignore_patterns: Regular expressions; what they find in texts does not count.
        exhausted: What the next equal request gets after the last recording of it was played.

    Raises:
        UsageError: A field, policy or path that is none.
    """

    on: tuple[str, ...] = FIELDS
    params: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    ignore_patterns: tuple[str | BoundedPattern, ...] = ()
    exhausted: Exhausted = "error"

    def __post_init__(self) -> None:
        for name in self.on:
            if name not in FIELDS:
                raise UsageError(f"match_on knows no {name!r}; write some of {', '.join(FIELDS)}")
        if self.exhausted not in _EXHAUSTED:
            raise UsageError(f"There is no policy {self.exhausted!r}; write one of {', '.join(_EXHAUSTED)}")
        for path in self.ignore:
            if not _PATH.fullmatch(path):
                raise UsageError(f"{path!r} is no path; write one like 'config.seed' or 'messages[*].parts[*].id'")
        compile_patterns(self.ignore_patterns)

    def to_options(self) -> dict[str, Any]:
        """What differs from the default, as options of a cassette and as JSON values."""
        patterns = [getattr(each, "pattern", each) for each in self.ignore_patterns]
        said = {
            "match_on": list(self.on) if self.on != FIELDS else None,
            "params": None if self.params is None else list(self.params),
            "ignore": list(self.ignore),
            "ignore_patterns": patterns,
            "on_exhausted": self.exhausted if self.exhausted != "error" else None,
        }
        return {name: value for name, value in said.items() if value or (name == "params" and value is not None)}

    @cached_property
    def _cuts(self) -> list[AnyPattern]:
        fields = [re.escape(path.removeprefix("inputs.")) for path in self.ignore if path.startswith("inputs.")]
        # A chat prompt says `[[ ## name ## ]]` and then the value, an XML prompt `<name>value</name>`.
        sections = [rf"(?<=\[\[ ## {name} ## \]\]).*?(?=\[\[ ## |\Z)" for name in fields]
        tags = [rf"(?<=<{name}>).*?(?=</{name}>)" for name in fields]
        cuts = [*sections, *tags, *self.ignore_patterns]
        return [cut if isinstance(cut, BoundedPattern) else re.compile(cut, re.DOTALL) for cut in cuts]

    @cached_property
    def _paths(self) -> list[list[str]]:
        paths = [path for path in self.ignore if not path.startswith("inputs.")]
        return [[match.group(1) or f"[{match.group(2)}]" for match in _STEP.finditer(path)] for path in paths]

    def comparable(self, request: dict[str, Any]) -> dict[str, Any]:
        """What counts of a canonical request, in the form in which it is compared."""
        if self._paths:
            request = deepcopy(request)
            for path in self._paths:
                _remove(request, path)
        config = dict(request.get("config") or {})
        found: dict[str, Any] = {}
        if "model" in self.on:
            found["model"] = request.get("model")
        if "messages" in self.on:
            if request.get("system"):
                found["system"] = self._normal(request["system"])
            found["messages"] = self._normal(request.get("messages"))
        if "tools" in self.on and request.get("tools"):
            found["tools"] = self._normal(request["tools"])
        response_format = config.pop("response_format", None)
        if "response_format" in self.on and response_format:
            found["response_format"] = self._normal(_format(response_format))
        if "params" in self.on:
            extensions = config.pop("extensions", None) or {}
            given = {**config, **extensions}
            wanted = given if self.params is None else {name: given[name] for name in self.params if name in given}
            if params := {name: value for name, value in wanted.items() if name not in _NEVER}:
                found["params"] = self._normal(params)
        return found

    def comparable_body(self, body: dict[str, Any]) -> Any:
        """What counts of a provider's own request body."""
        if self._paths:
            body = deepcopy(body)
            for path in self._paths:
                _remove(body, path)
        return self._normal(body)

    def key(self, request: dict[str, Any]) -> bytes:
        """Equal for requests that match."""
        return key_of(self.comparable(request))

    def _normal(self, value: Any) -> Any:
        if isinstance(value, str):
            for cut in self._cuts:
                value = cut.sub("", value)
            return _squeezed(value)
        if isinstance(value, dict):
            return {key: self._normal(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._normal(item) for item in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value


def key_of(value: Any) -> bytes:
    """Equal for equal JSON values, whatever the order of their keys."""
    try:
        whole = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Half of a surrogate pair, which is no Unicode, and which providers send all the same.
        whole = json.dumps(value, sort_keys=True).encode()
    return hashlib.blake2b(whole, digest_size=16).digest()


@remembering_texts
def _squeezed(text: str) -> str:
    """A text with one blank wherever there is white space."""
    return " ".join(text.split())


def _format(response_format: Any) -> Any:
    if isinstance(response_format, dict) and "schema" in response_format:
        return {**response_format, "schema": comparable_schema(response_format["schema"])}
    return response_format


def _remove(value: Any, path: list[str]) -> None:
    step, rest = path[0], path[1:]
    if step.startswith("["):
        if not isinstance(value, list):
            return
        chosen = range(len(value)) if step == "[*]" else [int(step[1:-1])]
        for index in chosen:
            if index < len(value):
                if rest:
                    _remove(value[index], rest)
                else:
                    value[index] = None
    elif isinstance(value, dict) and step in value:
        if rest:
            _remove(value[step], rest)
        else:
            del value[step]
