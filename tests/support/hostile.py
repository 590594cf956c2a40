"""What a client may send that nobody means well with, and every place where it can be put.

`HOSTILE` are values, `PLACES` is where they go: every argument of every command, and every key within the LM configs,
mock specs, faults, ensembles, signatures and cassette options that a client sends. Both are made from the tables and
models of the code, so that a new command, argument or key is swept without a word here::

    for place in PLACES:
        for name, value in HOSTILE.items():
            command, args = place.request(value)
            …
            for command, args in place.follow_up(args):
                …

`Place.follow_up` are the requests that make a bridge use what it has accepted. `on_the_wire` tells which values strict
JSON can carry at all; the others reach a bridge in process only.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from dspex_testkit.bridge import arguments
from dspex_testkit.bridge.commands import HANDLERS
from dspex_testkit.bridge.signatures import constraints
from dspex_testkit.cassettes import SENDABLE_OPTIONS
from dspex_testkit.errors import ProtocolError
from dspex_testkit.limits import NESTING
from dspex_testkit.lm.config.params import PARAMS
from dspex_testkit.lm.config.reading import KNOWN_KEYS
from dspex_testkit.mock_lm import conditions, reading_forms
from dspex_testkit.mock_lm.fault_spec import FaultSpec
from dspex_testkit.mock_lm.rule import RuleSpec, When
from dspex_testkit.mock_lm.spec import Prices, StreamSpec
from dspex_testkit.protocol import Request, encode_request, parse_request

Path = tuple[str | int, ...]

DEEP = NESTING - 10
"""Levels of what may be sent, wherever in the arguments it stands."""
TOO_DEEP = 4 * NESTING
"""Levels of what may not."""


def nested(levels: int, *, within: type = list) -> Any:
    """A value so many levels deep."""
    value: Any = "deep"
    for _ in range(levels):
        value = [value] if within is list else {"items": value}
    return value


HOSTILE: Mapping[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "minus zero": -0.0,
    "minus one": -1,
    "one and a half": 1.5,
    "a tiny float": 5e-324,
    "a huge float": 1.7e308,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "2^31": 2**31,
    "2^63": 2**63,
    "-2^63 - 1": -(2**63) - 1,
    "10^400": 10**400,
    "-10^400": -(10**400),
    "10^5000": 10**5000,
    "20,000": 20_000,
    "10^8": 10**8,
    "2e9": 2 * 10**9,
    "an empty text": "",
    "a blank": " ",
    "a NUL": "\0",
    "a NUL within": "a\0b",
    "5,000 characters": "x" * 5_000,
    "100,000 characters": "y" * 100_000,
    "a lone surrogate": "\ud800",
    "a surrogate within": "a\udfffb",
    "text in bidi and emoji": "\u202eabc\u202c \N{FAMILY}\N{VARIATION SELECTOR-16}",
    "a path upwards": "../../../../etc/passwd",
    "an absolute path": "/proc/self/environ",
    "a number as text": "1e999",
    "NaN as text": "NaN",
    "a template": "{0.__class__}{question!r}{",
    "a model": "openai/",
    "slashes": "////",
    "a function": "os:system",
    "a nested quantifier": "^(a+)+$",
    "an ambiguous alternation": "(a|aa)+$",
    "a pattern that grows": "(?:(?:(?:a{1000}){1000}){1000}){1000}",
    "an open group": "(",
    "an empty list": [],
    "a list of null": [None],
    "a list of numbers": [10**400, -1, 1.5],
    "a list of texts": ["x", "x"],
    "a long list": list(range(5_000)),
    "a list of lists": [[[]]],
    "deep lists": nested(DEEP),
    "too deep lists": nested(TOO_DEEP),
    "an empty map": {},
    "a map of null": {"": None},
    "a map of anything": {"a": {"b": [1, "c"]}, "$": 1, "$value": 1, "default": {}},
    "a long key": {"k" * 5_000: 1},
    "a key with a surrogate": {"\ud800": 1},
    "a wide map": {f"key{i}": i for i in range(2_000)},
    "deep maps": nested(DEEP, within=dict),
    "too deep maps": nested(TOO_DEEP, within=dict),
    "a tag of the pool's own": {"$": ["path", "/etc/passwd"]},
    "a schema that refers to itself": {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
    "a schema of a number": {"type": 5, "properties": [], "items": 7, "required": 1, "enum": "x"},
    "a large schema": {"type": "array", "minItems": 10**8, "items": {"type": "string", "minLength": 2 * 10**9}},
    "a cyclic alias": {"anyOf": [{"$ref": "#"}], "$ref": "#"},
}
"""Values by a name for people."""

KEYS: Mapping[str, str] = {
    "no key": "",
    "a long key": "k" * 5_000,
    "a surrogate": "\ud800",
    "a NUL": "\0",
    "a dunder": "__class__",
    "a dollar": "$",
}
"""Texts to stand in place of a key."""


def on_the_wire(value: Any) -> bool:
    """Whether strict JSON can carry a value, so that it reaches a bridge in another process."""
    try:
        return parse_request(encode_request(Request(1, "ping", {"value": value}))).args == {"value": value}
    except (ProtocolError, RecursionError):
        return False


@dataclass(frozen=True)
class Place:
    """One place within the arguments of a command."""

    command: str
    path: Path
    sample: int = 0
    """Which of the command's samples stands around it."""

    def __str__(self) -> str:
        return f"{self.command}[{self.sample}].{'.'.join(map(str, self.path))}"

    def request(self, value: Any) -> tuple[str, dict[str, Any]]:
        """The command and its arguments with the value in this place; everything around it is in order."""
        args = copy.deepcopy(samples()[self.command][self.sample])
        at: Any = args
        for step, following in zip(self.path, self.path[1:], strict=False):
            if isinstance(at, dict) and step not in at:
                at[step] = [] if isinstance(following, int) else {}
            at = at[step]
        if isinstance(at, list) and self.path[-1] == len(at):
            at.append(value)
        else:
            at[self.path[-1]] = value
        return self.command, args

    def request_with_key(self, key: str) -> tuple[str, dict[str, Any]] | None:
        """The same with another key for what stands there; None where it has none."""
        args = copy.deepcopy(samples()[self.command][self.sample])
        at: Any = args
        for step in self.path[:-1]:
            try:
                at = at[step]
            except (KeyError, IndexError, TypeError):
                return None
        if not isinstance(at, dict) or self.path[-1] not in at:
            return None
        at[key] = at.pop(self.path[-1])
        return self.command, args

    def follow_up(self, args: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Requests that make a bridge use what it has accepted."""
        session = {"session_id": args["session_id"]} if "session_id" in args else {}
        # Who asks for a long wait gets it, up to the deadline.
        run = {"inputs": _INPUTS, "timeout_ms": 100 if any(str(step).endswith("_ms") for step in self.path) else 60_000}
        predict = {"signature": "question -> answer, numbers: list[int]", **run}
        if self.command == "configure_lm":
            yield "predict", {**predict, **session}
            yield "get_lm", dict(session)
        elif self.command == "define_lm":
            yield "predict", {**predict, "lm_config": {"lm": args["name"]}}
            yield "list_lms", {}
            yield "undefine_lm", {"name": args["name"]}
        elif self.command in ("create_program", "create_gemini_program"):
            named = args.get("id") or args.get("program_id")
            yield "execute_program", {"program_id": named, **run, **session}
            yield "get_program_info", {"program_id": named, **session}
            yield "list_programs", {}
        elif self.command == "set_budget":
            yield "predict", {**predict, **session, "lm_config": "mock"}
            yield "get_costs", {}
        elif self.command == "update_session_data":
            yield "get_session_data", dict(session)
        elif self.command == "use_cassette":
            yield "predict", {**predict, **session, "lm_config": _LIVE}


_FORMS: dict[str, Any] = {
    "$value": "x",
    "$completion": "x",
    "$template": "Hello {question}",
    "$cycle": ["x"],
    "$list": ["x"],
    "$follow_demos": True,
    "$tool_calls": [{"name": "search", "args": {"query": "x"}, "id": "1"}],
    "$fault": {"kind": "rate_limit", "calls": [99]},
    "$usage": {"output_tokens": 9, "input_tokens": 1, "reasoning_tokens": 1, "cached_tokens": 1},
    "$latency_ms": {"lognormal": {"median": 0, "sigma": 0}},
    "$reasoning": "x",
    "$cost": "0.01",
    "$finish_reason": "length",
}
_CONDITIONS: dict[str, Any] = {"in": ["x"], "contains": "", "regex": ".", "equals": "x"}

_TABLE: dict[str, Any] = {
    "provider": "mock",
    "model": "gpt-4o-mini",
    "responses": {"default": {"answer": "Ada", "$usage": _FORMS["$usage"], "$latency_ms": 0}, "x": "y"},
    "rules": [
        {"name": "r", "answer": "x", "priority": 1, "times": 1, "when": {"inputs": {"question": {"contains": "?"}}}}
    ],
    "faults": [{"kind": "rate_limit", "calls": [99], "message": "m", "retry_after": 1.0}],
    "latency_ms": {"uniform": [0, 0]},
    "stream": {"first_token_ms": 0, "between_tokens_ms": {"fixed": 0}},
    "prices": {"input": 1, "output": "2.5", "cached": 1, "reasoning": 1},
    "params": {"temperature": 0.5},
    "cache": {"mode": "memory", "ttl_s": 60},
}
_RANDOM: dict[str, Any] = {"provider": "mock", "seed": 1, "realistic": True, "locale": "de_DE", "null_rate": 0.5}
_SCRIPT: dict[str, Any] = {"provider": "mock", "script": ["a", {"answer": "b"}], "on_exhausted": "cycle"}
_NAMED: dict[str, Any] = {"lm": "named", "params": {"temperature": 0.1}}
_ENSEMBLE: dict[str, Any] = {
    "kind": "ensemble",
    "strategy": "majority",
    "members": ["mock", {"provider": "mock", "responses": {"default": "x"}}],
    "weights": [1, 2],
    "quorum": 1,
    "time_limit_ms": 1_000,
    "normalize": True,
}
_CHAIN: dict[str, Any] = {
    "kind": "ensemble",
    "strategy": "first_success",
    "members": ["mock", "mock/other"],
    "on_errors": ["rate_limit"],
}
_JUDGED: dict[str, Any] = {"kind": "ensemble", "strategy": "best_of", "members": ["mock"], "judge": {"lm": "mock"}}
_LIVE: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-4o-mini",
    "api_key": "sk-not-a-key",
    "api_base": "http://127.0.0.1:9/v1",
    **{"temperature": 0.5, "max_tokens": 10, "stop": ["x"]},
}
_WRAPPED: dict[str, Any] = {"lm": {"provider": "mock", "model": "m", "mock": {"responses": {"default": "x"}}}}
CONFIGS: list[dict[str, Any]] = [
    *(_TABLE, _RANDOM, _SCRIPT, _NAMED, _ENSEMBLE, _CHAIN, _JUDGED, _LIVE, _WRAPPED),
    *({"provider": "mock", "responses": {"default": {key: form}}} for key, form in _FORMS.items()),
    *({"provider": "mock", "rules": [{"answer": "x", "when": {"prompt": {key: c}}}]} for key, c in _CONDITIONS.items()),
]
"""LM configs of every kind, all in order."""

_SIGNATURE: dict[str, Any] = {
    "name": "Asks",
    "description": "Asks.",
    "inputs": [{"name": "question", "type": "string", "description": "d", "optional": True}],
    "outputs": [
        {"name": "answer", "type": "string", "constraints": {"min_length": 1, "max_length": 90, "pattern": "."}},
        {"name": "numbers", "type": {"type": "array", "items": {"type": "integer", "minimum": 1}}},
        {"name": "person", "type": "object", "fields": [{"name": "age", "type": "integer"}], "required": ["age"]},
        {"name": "choice", "enum": ["a", "b"], "optional": True},
        {"name": "mapped", "type": "dict<string, list<integer | null>>"},
    ],
}
_INPUTS: dict[str, Any] = {"question": "Who?"}
_TOOLS = [{"name": "search", "description": "d", "args": {"query": {"type": "string"}}, "returns": "x"}]


@cache
def samples() -> Mapping[str, list[dict[str, Any]]]:
    """Arguments in order, for every command that may be swept."""
    create = {"id": "p", "signature": _SIGNATURE, "lm_config": "mock", "instructions": "Be brief.", "session_id": "s"}
    run = {"program_id": "known", "inputs": _INPUTS, "timeout_ms": 60_000, "options": {"temperature": 0.1}}
    known: dict[str, list[dict[str, Any]]] = {
        "configure_lm": CONFIGS,
        "define_lm": [{"name": "other", **config} for config in CONFIGS],
        "undefine_lm": [{"name": "other"}],
        "get_lm": [{"program_id": "known", "lm_config": "mock"}],
        "create_program": [
            create,
            {"id": "p", "signature": "question: str -> answer: list[int]", "program_type": "chain_of_thought"},
            {"id": "p", "signature": "question -> answer", "program_type": "react", "tools": _TOOLS},
        ],
        "create_gemini_program": [{"id": "p", "signature": _SIGNATURE, "model": "gemini-1.5-flash", "api_key": "k"}],
        "execute_program": [run, {**run, "lm_config": _TABLE}, {**run, "options": {"lm": _WRAPPED["lm"]}}],
        "execute_gemini_program": [run],
        "predict": [{"signature": _SIGNATURE, "inputs": _INPUTS, "lm_config": "mock"}, {"input": "x"}],
        "get_program_info": [{"program_id": "known"}],
        "delete_program": [{"program_id": "known"}],
        "set_budget": [{"session_id": "s", "usd": "1.5", "tokens": 10**9, "calls": 10**9}],
        "use_cassette": [{"session_id": "hostile", "name": "hostile", "mode": "none", "options": {}}],
        "eject_cassette": [{"session_id": "hostile", "passed": False}],
        "update_session_data": [{"session_id": "s", "operation": "set", "key": "k", "value": {"a": 1}}],
    }
    return {command: known.get(command, [{}]) for command in HANDLERS if command not in ("shutdown", "crash_worker")}


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place within a value."""
    steps: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from _paths(inner, (*path, step))


def _known_paths(command: str) -> Iterator[tuple[int, Path]]:
    """Places that no sample has filled, from the tables of what a command, config, spec or signature may hold."""
    for argument in sorted(arguments._KNOWN.get(command, arguments._ANY_COMMAND)):
        yield 0, (argument,)
    if command == "configure_lm":
        yield from ((0, (key,)) for key in sorted(KNOWN_KEYS))
        yield from ((0, ("params", name)) for name in PARAMS)
        yield from ((0, ("mock", key)) for key in ("responses", "rules", "script", "seed", "function"))
        yield from ((0, ("rules", 0, field)) for field in RuleSpec.model_fields)
        yield from ((0, ("rules", 0, "when", field)) for field in When.model_fields)
        yield from ((0, ("responses", "default", key)) for key in reading_forms._EXTRAS)
        yield from ((0, ("faults", 0, field)) for field in FaultSpec.model_fields)
        yield from ((0, ("stream", field)) for field in StreamSpec.model_fields)
        yield from ((0, ("prices", field)) for field in Prices.model_fields)
        yield 7, ("mode",)
    elif command == "create_program":
        for output in range(3):
            names = sorted({*constraints._ALIASES, *constraints.CHOICE_KEYS, "fields", "properties", "of", "values"})
            yield from ((0, ("signature", "outputs", output, name)) for name in names)
            yield from ((0, ("signature", "outputs", output, "constraints", name)) for name in names)
        yield from ((0, ("signature", "lm_config", key)) for key in ("provider", "model", "lm", "mock"))
    elif command in ("execute_program", "predict"):
        yield from ((0, ("options", key)) for key in ("lm", "lm_config", "timeout_ms", "provider", "model"))
    elif command == "use_cassette":
        yield from ((0, ("options", option)) for option in sorted(SENDABLE_OPTIONS))
    elif command in ("get_program_info", "delete_program", "get_lm", "execute_gemini_program"):
        for key in ("program_id", "signature_def", "signature", "program_type", "session_id"):
            yield 0, ("program_data", key)


def _places() -> Iterator[Place]:
    for command, of_command in samples().items():
        for path in dict.fromkeys(_known_paths(command)):
            yield Place(command, path[1], path[0])
        for number, sample in enumerate(of_command):
            # Configs are swept whole in one command; elsewhere their first level will do.
            deep = command != "define_lm"
            yield from (Place(command, path, number) for path in _paths(sample) if deep or len(path) == 1)


PLACES: list[Place] = list(dict.fromkeys(_places()))
"""Every place where a value can be put."""

PREPARED: list[tuple[str, dict[str, Any]]] = [
    ("define_lm", {"name": "named", "provider": "mock"}),
    (
        "create_program",
        {
            "id": "known",
            "signature": "question -> answer",
            "lm_config": {"provider": "mock", "responses": {"default": "Ada"}},
        },
    ),
]
"""Requests that make what a bridge has before it is swept."""


# A form or condition that the code has learnt is missed here by name.
assert {*_FORMS, "$on_exhausted"} == {*reading_forms._BODIES, *reading_forms._EXTRAS}
assert {*_CONDITIONS, "predicate"} == {*conditions._OPERATORS}
