"""Whatever a body says, a simulated provider answers in its own words: no 500, no Python, nothing on stderr."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dspex_testkit.limits import NESTING, TOP_LOGPROBS
from dspex_testkit.protocol import codec
from dspex_testkit.simulator import ProviderSimulator
from tests.simulator.test_admin import admin
from tests.simulator.test_wires import SCHEMA
from tests.support.hostile import HOSTILE, on_the_wire
from tests.support.web import Reply, ask

_FUNCTION = {"name": "count", "description": "d", "parameters": SCHEMA}
_MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "hello"}]}]
_SCHEMA_FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "m",
        "messages": _MESSAGES,
        "tools": [{"type": "function", "function": _FUNCTION}],
        "tool_choice": "auto",
        "response_format": _SCHEMA_FORMAT,
        "n": 1,
        "temperature": 1,
        "max_tokens": 100,
        "stop": ["x"],
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "low",
    },
    "/v1/responses": {
        "model": "m",
        "input": [{"role": "user", "content": "hello"}],
        "instructions": "i",
        "tools": [{"type": "function", **_FUNCTION}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        "max_output_tokens": 100,
        "reasoning": {"effort": "low"},
    },
    "/v1/messages": {
        "model": "m",
        "max_tokens": 99,
        "system": "s",
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [{"name": "count", "input_schema": SCHEMA}],
        "stop_sequences": ["x"],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    },
    "/v1beta/models/m:generateContent": {
        "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
        "tools": [{"functionDeclarations": [_FUNCTION]}],
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA, "candidateCount": 1},
    },
    "/v2/chat": {"model": "m", "messages": _MESSAGES[1:], "response_format": {"type": "json_object", "schema": SCHEMA}},
    "/api/chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}], "format": SCHEMA, "stream": False},
    "/v1/completions": {"model": "m", "prompt": "hello", "logprobs": 1, "max_tokens": 9},
    "/v1/embeddings": {"model": "m", "input": ["hello"], "dimensions": 8, "encoding_format": "float"},
    "/v1/chat": {
        "model": "m",
        "message": "hello",
        "preamble": "p",
        "chat_history": [{"role": "USER", "message": "before"}, {"role": "CHATBOT", "message": "m", "tool_calls": []}],
        "tools": [{"name": "count", "description": "d", "parameter_definitions": {"city": {"type": "str"}}}],
        "tool_results": [{"call": {"name": "count", "parameters": {}}, "outputs": [{"n": 1}]}],
        "temperature": 1,
        "stop_sequences": ["x"],
    },
    "/api/generate": {
        "model": "m",
        "prompt": "hello",
        "system": "s",
        "format": "json",
        "think": False,
        "stream": False,
        "options": {"temperature": 1, "num_predict": 9, "top_k": 1, "seed": 1, "stop": ["x"]},
    },
    "/v1beta/models/m:batchEmbedContents": {
        "requests": [{"content": {"parts": [{"text": "hello"}]}, "outputDimensionality": 8}]
    },
    "/v1beta/models/m:embedContent": {"content": {"parts": [{"text": "hello"}]}, "outputDimensionality": 8},
    "/v2/embed": {"model": "m", "texts": ["hello"], "embedding_types": ["float"], "output_dimension": 8},
    "/v1/embed": {"model": "m", "texts": ["hello"]},
    "/api/embed": {"model": "m", "input": ["hello"]},
    "/api/embeddings": {"model": "m", "prompt": "hello"},
}
SENT = {name: value for name, value in HOSTILE.items() if on_the_wire(value)}
STRIDE = 5
PYTHON = re.compile(
    r"Traceback|object has no|NoneType|\wError\b|<class|unhashable|not subscriptable|__[a-z]{1,30}__|takes \d"
    r"|\b(None|True|False)\b|\b(str|int|float|bool|dict|tuple|bytes)\b( object)? (came|is|at|object)"
)
"""What only Python says."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place within a body."""
    steps: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


def of_python(said: str, value: Any) -> bool:
    """Whether what was said is Python's, and not a quotation of what the client had sent."""
    if isinstance(value, str) and PYTHON.search(value):
        said = said.replace(json.dumps(value)[1:-1], "")
    return PYTHON.search(said) is not None


def put(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> bytes:
    """The body with a value in a place."""
    changed: Any = copy.deepcopy(body)
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return codec.dumps(changed)


@pytest.mark.parametrize("route", BODIES)
def test_no_body_provokes_a_server_error(sim: ProviderSimulator, route: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Each is answered or refused in the provider's words."""
    target, body = sim.target("openai/m"), BODIES[route]
    assert ask(f"{target.root}{route}", body).status == 200
    found: dict[str, str] = {}
    for number, path in enumerate(places(body)):
        for name, value in list(SENT.items())[number % STRIDE :: STRIDE]:
            reply = ask(f"{target.root}{route}", put(body, path, value))
            if reply.status >= 500 or (reply.status >= 400 and of_python(reply.text, value)):
                found.setdefault(f"{reply.status} {reply.text[:200]}", f"{path} = {name}")

    assert found == {}
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("temperature", 10**400, "temperature: a number within 1.8e308 of 0 is wanted"),
        ("stop", 5, "stop: a text or a list of texts is wanted, a number came"),
        ("messages", None, "messages: a list of objects is wanted, nothing came"),
        ("messages", True, "messages: a list of objects is wanted, a boolean came"),
        ("top_logprobs", None, None),
    ],
)
def test_a_refusal_says_what_was_wanted_and_what_came_in_words_of_json(
    sim: ProviderSimulator, key: str, value: Any, said: str | None
) -> None:
    """Null is what was not said."""
    body = {**BODIES["/v1/chat/completions"], key: value}

    reply = ask(f"{sim.target('openai/m').root}/v1/chat/completions", codec.dumps(body))

    assert reply.status == (200 if said is None else 400)
    assert said is None or said in reply.json["error"]["message"]


ADMINISTERED: dict[str, Any] = {
    "model": "openai/m",
    "spec": {
        "responses": {"default": "x"},
        "rules": [{"answer": "y", "when": {"prompt": {"regex": "a"}}}],
        "latency_ms": 0,
    },
    "faults": [{"kind": "rate_limit", "calls": [9], "status": 429, "retry_after": 1, "message": "m"}],
    "limits": {"requests_per_minute": 1_000_000, "tokens_per_minute": 1_000_000},
}


def test_no_target_that_is_asked_for_provokes_a_server_error(
    sim: ProviderSimulator, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is refused by what is wrong with it, or made; and then it answers or refuses too."""
    assert admin(sim, "POST", "targets", ADMINISTERED).status == 200
    question = {"model": "m", "messages": [{"role": "user", "content": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}]}
    found: dict[str, str] = {}
    for number, path in enumerate(places(ADMINISTERED)):
        for name, value in list(SENT.items())[number % STRIDE :: STRIDE]:
            reply = made = admin(sim, "POST", "targets", put(ADMINISTERED, path, value))
            if made.status == 200:
                reply = ask(f"{made.json['api_base']}/chat/completions", question)
                admin(sim, "DELETE", f"targets/{made.json['id']}")
            if reply.status >= 500 or (made.status >= 400 and of_python(reply.text, value)):
                found.setdefault(f"{reply.status} {reply.text[:200]}", f"{path} = {name}")

    assert found == {}
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5},
        {"type": "array", "minItems": 10**8},
        {"type": "string", "minLength": 2 * 10**9},
        {"type": "array", "minItems": 9_000, "items": {"type": "array", "minItems": 9_000}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/Nowhere"}}},
        {"type": "string", "pattern": "("},
    ],
)
def test_a_schema_that_cannot_be_followed_is_an_invalid_request(sim: ProviderSimulator, schema: dict[str, Any]) -> None:
    """Not a failure of the server, which clients try again; the next request is answered."""
    target = sim.target("openai/m")
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    wrapped = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}

    reply = ask(f"{target.root}/v1/chat/completions", {**body, "response_format": wrapped})

    assert reply.status == 400
    assert reply.json["error"]["code"] == "answer_mismatch"
    assert ask(f"{target.root}/v1/chat/completions", body).status == 200


RECURSIVE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["name", "children", "next"],
        }
    },
}


def test_a_schema_that_contains_itself_is_answered(sim: ProviderSimulator) -> None:
    """As deep as it must be, and no deeper."""
    target = sim.target("openai/m")
    wrapped = {"type": "json_schema", "json_schema": {"name": "n", "schema": RECURSIVE}}
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "response_format": wrapped}

    reply = ask(f"{target.root}/v1/chat/completions", body)

    assert reply.status == 200
    node = Reply(200, {}, reply.json["choices"][0]["message"]["content"]).json
    assert {"name", "children", "next"} == set(node)


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/messages", "/v1beta/models/m:generateContent"])
def test_a_web_page_of_another_origin_is_refused(sim: ProviderSimulator, route: str) -> None:
    """As on the admin routes: else any page could have its reader's browser ask."""
    target = sim.target("openai/m")

    refused = ask(f"{target.root}{route}", BODIES[route], headers={"Origin": "https://elsewhere.example"})

    assert refused.status == 403
    assert "error" in refused.json
    assert target.calls == []
    assert ask(f"{target.root}{route}", BODIES[route], headers={"Origin": sim.url}).status == 200


def test_more_alternatives_than_a_provider_lists_are_refused(sim: ProviderSimulator) -> None:
    """The error names the bound and what came."""
    body = {**BODIES["/v1/chat/completions"], "top_logprobs": 20_000}

    reply = ask(f"{sim.target('openai/m').root}/v1/chat/completions", body)

    assert reply.status == 400
    assert f"0 to {TOP_LOGPROBS} is wanted, 20000 came" in reply.json["error"]["message"]


def test_a_body_that_is_nested_too_deeply_is_refused(sim: ProviderSimulator) -> None:
    """By the bound that holds everywhere."""
    reply = ask(f"{sim.target('openai/m').root}/v1/chat/completions", b'{"a":' + b"[" * 200 + b"]" * 200 + b"}")

    assert reply.status == 400
    assert f"deeper than {NESTING} levels" in reply.json["error"]["message"]
