"""What is on the wire: parameters that are obeyed, streams that are framed, refusals in each provider's words."""

import json
from http.client import HTTPConnection
from typing import Any

import pytest

from dspex_testkit.simulator import ProviderSimulator, Target
from tests.support.web import Reply, ask

OPENAI, ANTHROPIC, GEMINI = "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"
COHERE, OLLAMA = "cohere_chat/command-r", "ollama_chat/llama3"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer", "minimum": 5, "maximum": 9}},
    "required": ["city", "people"],
}


def chat(target: Target, **more: Any) -> Reply:
    """A question in OpenAI's chat format."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **more}
    return ask(f"{target.root}/v1/chat/completions", body)


def message(target: Target, **more: Any) -> Reply:
    """A question in Anthropic's format."""
    body = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}], **more}
    return ask(f"{target.root}/v1/messages", body)


def generate(target: Target, action: str = "generateContent", version: str = "v1beta", **more: Any) -> Reply:
    """A question in Gemini's format."""
    body = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}], **more}
    return ask(f"{target.root}/{version}/models/m:{action}?alt=sse", body)


def test_a_stop_cuts_the_answer_and_is_told(sim: ProviderSimulator) -> None:
    """Text ends before the first stop; Anthropic names it; the journal holds what was sent."""
    spec = {"responses": {"default": "one two three"}}
    openai, anthropic = sim.target(OPENAI, spec=spec), sim.target(ANTHROPIC, spec=spec)

    assert chat(openai, stop=["three", " two"]).json["choices"][0]["message"]["content"] == "one"
    told = message(anthropic, stop_sequences=[" three"]).json
    assert (told["content"][0]["text"], told["stop_reason"], told["stop_sequence"]) == (
        "one two",
        "stop_sequence",
        " three",
    )
    assert openai.calls[0].completion == "one"


@pytest.mark.parametrize("stream", [False, True])
def test_max_tokens_cuts_the_answer(sim: ProviderSimulator, stream: bool) -> None:
    """A token is four characters; every provider has a word for the reason."""
    spec = {"responses": {"default": "x" * 40}}
    action = "streamGenerateContent" if stream else "generateContent"
    replies = {
        OPENAI: chat(sim.target(OPENAI, spec=spec), stream=stream, max_tokens=5),
        ANTHROPIC: message(sim.target(ANTHROPIC, spec=spec), max_tokens=5, stream=stream),
        GEMINI: generate(sim.target(GEMINI, spec=spec), action, generationConfig={"maxOutputTokens": 5}),
    }
    for model, reason in {OPENAI: '"length"', ANTHROPIC: '"max_tokens"', GEMINI: '"MAX_TOKENS"'}.items():
        assert reason in replies[model].text
        assert "x" * 20 in replies[model].text
        assert "x" * 21 not in replies[model].text


def test_several_answers_are_several_calls(sim: ProviderSimulator) -> None:
    """`n` answers come from the script in order, the prompt counted once."""
    target = sim.target(OPENAI, spec={"script": ["aaaa", "bbbb", "cccc"]})

    told = chat(target, n=3).json

    assert [choice["message"]["content"] for choice in told["choices"]] == ["aaaa", "bbbb", "cccc"]
    assert told["usage"]["completion_tokens"] == 3
    assert told["usage"]["prompt_tokens"] == target.calls[0].usage.input_tokens
    assert len(target.calls) == 3


def test_logprobs_come_with_every_token(sim: ProviderSimulator) -> None:
    """The chosen token leads its alternatives, and all are below zero."""
    openai, gemini = sim.target(OPENAI, spec={"script": ["one two"]}), sim.target(GEMINI, spec={"script": ["one two"]})

    entries = chat(openai, logprobs=True, top_logprobs=3).json["choices"][0]["logprobs"]["content"]
    config = {"responseLogprobs": True, "logprobs": 2}
    result = generate(gemini, generationConfig=config).json["candidates"][0]["logprobsResult"]

    assert [entry["token"] for entry in entries] == ["one", " two"]
    assert all(len(entry["top_logprobs"]) == 3 for entry in entries)
    assert all(entry["top_logprobs"][0]["logprob"] == entry["logprob"] < 0 for entry in entries)
    assert [chosen["token"] for chosen in result["chosenCandidates"]] == ["one", " two"]
    assert len(result["topCandidates"][0]["candidates"]) == 2


def test_a_schema_is_answered_with_a_value_that_it_accepts(sim: ProviderSimulator) -> None:
    """Each provider's spelling of a response schema is understood."""
    wrapped = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}
    texts = [
        chat(sim.target(OPENAI), response_format=wrapped).json["choices"][0]["message"]["content"],
        message(sim.target(ANTHROPIC), output_config={"format": {"type": "json_schema", "schema": SCHEMA}}).json[
            "content"
        ][0]["text"],
        generate(
            sim.target(GEMINI), generationConfig={"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
        ).json["candidates"][0]["content"]["parts"][0]["text"],
    ]
    for text in texts:
        answer = Reply(200, {}, text).json
        assert isinstance(answer["city"], str)
        assert 5 <= answer["people"] <= 9


def test_a_tool_is_called_once_and_its_result_answered(sim: ProviderSimulator) -> None:
    """First a call with valid arguments, then, with the result in the messages, words."""
    target = sim.target(OPENAI)
    tools = [{"type": "function", "function": {"name": "count", "parameters": SCHEMA}}]

    first = chat(target, tools=tools).json["choices"][0]
    call = first["message"]["tool_calls"][0]
    messages = [
        {"role": "user", "content": "hello"},
        first["message"],
        {"role": "tool", "tool_call_id": call["id"], "content": "7"},
    ]
    second = chat(target, tools=tools, messages=messages).json["choices"][0]

    assert (first["finish_reason"], call["function"]["name"]) == ("tool_calls", "count")
    assert 5 <= Reply(200, {}, call["function"]["arguments"]).json["people"] <= 9
    assert second["finish_reason"] == "stop"
    assert second["message"]["content"]


def test_a_tool_is_called_that_may_be_called(sim: ProviderSimulator) -> None:
    """Of those that are offered, one that is among those that are allowed, in each format that can say so."""
    names = ["first", "second", "third"]
    functions = [{"name": name, "parameters": {"type": "object"}} for name in names]
    wrapped = [{"type": "function", "function": {"name": name}} for name in names[1:]]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": wrapped}}
    calling = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": names[1:]}}

    openai = chat(
        sim.target(OPENAI), tools=[{"type": "function", "function": f} for f in functions], tool_choice=allowed
    )
    gemini = generate(sim.target(GEMINI), tools=[{"functionDeclarations": functions}], toolConfig=calling)

    assert openai.json["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "second"
    assert gemini.json["candidates"][0]["content"]["parts"][0]["functionCall"]["name"] == "second"


def test_tools_are_called_as_scripted(sim: ProviderSimulator) -> None:
    """A script that names a call gives it in every format."""
    spec = {"script": [{"$tool_calls": [{"name": "count", "args": {"city": "Oslo"}}]}]}

    call = chat(sim.target(OPENAI, spec=spec)).json["choices"][0]["message"]["tool_calls"][0]["function"]
    use = message(sim.target(ANTHROPIC, spec=spec)).json["content"][0]
    part = generate(sim.target(GEMINI, spec=spec)).json["candidates"][0]["content"]["parts"][0]["functionCall"]

    assert (call["name"], Reply(200, {}, call["arguments"]).json) == ("count", {"city": "Oslo"})
    assert (use["type"], use["name"], use["input"]) == ("tool_use", "count", {"city": "Oslo"})
    assert (part["name"], part["args"]) == ("count", {"city": "Oslo"})


def test_reasoning_travels_as_each_provider_sends_it(sim: ProviderSimulator) -> None:
    """Scripted reasoning is a part of its own, and its tokens are counted apart."""
    spec = {"script": [{"$value": "4", "$reasoning": "two and two"}]}

    openai = chat(sim.target(OPENAI, spec=spec)).json
    anthropic = message(sim.target(ANTHROPIC, spec=spec)).json
    gemini = generate(sim.target(GEMINI, spec=spec)).json

    assert openai["choices"][0]["message"]["reasoning_content"] == "two and two"
    assert openai["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3
    assert anthropic["content"][0]["thinking"] == "two and two"
    assert gemini["candidates"][0]["content"]["parts"][0] == {"text": "two and two", "thought": True}
    assert gemini["usageMetadata"]["thoughtsTokenCount"] == 3


def test_a_key_is_found_within_the_last_thing_the_user_said(sim: ProviderSimulator) -> None:
    """Without a signature the longest key in the prompt answers; rules and regular expressions work too."""
    spec = {"responses": {"capital": "which?", "capital of France": "Paris", "default": "no"}}
    target = sim.target(OPENAI, spec=spec)
    ruled = sim.target(OPENAI, spec={"rules": [{"when": {"prompt": {"regex": "^add \\d+"}}, "answer": "5"}]})

    def said(on: Target, text: str) -> str:
        return str(chat(on, messages=[{"role": "user", "content": text}]).json["choices"][0]["message"]["content"])

    assert said(target, "Tell me the capital of France, please") == "Paris"
    assert said(target, "Tell me the capital of Spain") == "which?"
    assert said(target, "Hello") == "no"
    assert said(ruled, "add 2 and 3") == "5"


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_gemini_is_served_in_both_versions(sim: ProviderSimulator, version: str) -> None:
    """The SDK asks /v1, everybody else /v1beta."""
    target = sim.target(GEMINI, spec={"script": ["Paris", "Oslo is cold"]})

    assert "Paris" in generate(target, version=version).text
    events = generate(target, "streamGenerateContent", version=version).events
    texts = [event["candidates"][0]["content"]["parts"][0]["text"] for event in events]
    assert texts == ["Oslo", " is", " cold"]
    assert events[-1]["candidates"][0]["finishReason"] == "STOP"


def test_ollama_and_coheres_first_version_stream_lines(sim: ProviderSimulator) -> None:
    """Both send one JSON object a line, the last one closing."""
    ollama, cohere = sim.target(OLLAMA, spec={"script": ["a b"]}), sim.target(COHERE, spec={"script": ["a b"]})
    asked = {"model": "llama3", "messages": [{"role": "user", "content": "hello"}]}

    lines = ask(f"{ollama.root}/api/chat", asked).text.splitlines()
    v1 = ask(f"{cohere.root}/v1/chat", {"model": "command-r", "message": "hello", "stream": True})

    assert [Reply(200, {}, line).json["message"]["content"] for line in lines] == ["a", " b", ""]
    assert Reply(200, {}, lines[-1]).json["done"] is True
    events = [Reply(200, {}, line).json for line in v1.text.splitlines()]
    assert [event["event_type"] for event in events] == [
        "stream-start",
        "text-generation",
        "text-generation",
        "stream-end",
    ]
    assert events[-1]["response"]["text"] == "a b"


def test_usage_ends_an_openai_stream_only_where_it_is_asked_for(sim: ProviderSimulator) -> None:
    """`include_usage` decides; the stream ends with [DONE] in any case."""
    without = chat(sim.target(OPENAI), stream=True)
    with_usage = chat(sim.target(OPENAI), stream=True, stream_options={"include_usage": True})

    assert without.text.endswith("data: [DONE]\n\n")
    assert all("usage" not in event for event in without.events)
    assert with_usage.events[-1]["usage"]["total_tokens"] > 0


def test_a_connection_serves_many_streams(sim: ProviderSimulator) -> None:
    """After a stream the connection stays open, and what follows is the next answer and nothing else."""
    target = sim.target(OPENAI, spec={"script": ["one", "two", "three"]})
    connection = HTTPConnection("127.0.0.1", sim.port)
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    texts = []
    for _ in range(3):
        connection.request("POST", f"/t/{target.id}/v1/chat/completions", json.dumps(body))
        texts.append(connection.getresponse().read().decode())
    connection.close()

    assert [text.count("[DONE]") for text in texts] == [1, 1, 1]
    assert [word in text for word, text in zip(("one", "two", "three"), texts, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("model", "kind", "path", "value"),
    [
        (OPENAI, "auth", "error.code", "invalid_api_key"),
        (OPENAI, "billing", "error.type", "insufficient_quota"),
        (ANTHROPIC, "overloaded", "error.type", "overloaded_error"),
        (ANTHROPIC, "rate_limit", "error.type", "rate_limit_error"),
        (GEMINI, "rate_limit", "error.status", "RESOURCE_EXHAUSTED"),
        (GEMINI, "server_error", "error.code", 500),
    ],
)
def test_a_refusal_has_the_providers_own_body(
    sim: ProviderSimulator, model: str, kind: str, path: str, value: Any
) -> None:
    """Codes and types are found where each provider puts them."""
    asking = {OPENAI: chat, ANTHROPIC: message, GEMINI: generate}[model]
    body = asking(sim.target(model, faults=[kind])).json
    for step in path.split("."):
        body = body[step]
    assert body == value


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "no JSON"),
        (b"[]", "JSON object"),
        ({"model": "m"}, "messages"),
        ({"messages": []}, "model"),
        ({"model": "m", "messages": []}, "at least one message"),
        ({"model": "m", "messages": [{"role": "king", "content": "x"}]}, "king"),
        ({"model": "m", "messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 9}, "temperature"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 0}, "n: an integer"),
    ],
)
def test_a_bad_request_is_told_what_was_wanted(sim: ProviderSimulator, body: Any, says: str) -> None:
    """Status 400, in the provider's form, with the place."""
    target = sim.target(OPENAI)

    reply = ask(f"{target.root}/v1/chat/completions", body)

    assert reply.status == 400
    assert says in reply.json["error"]["message"]
    assert says in str(target.calls[0].error)


def test_an_unknown_path_lists_what_is_simulated(sim: ProviderSimulator) -> None:
    """A wrong base is seen at once."""
    reply = ask(f"{sim.url}/v1/chat/completion", {})

    assert reply.status == 404
    assert "/chat/completions" in reply.json["error"]["message"]


@pytest.mark.parametrize(
    ("model", "path", "headers", "where"),
    [
        (OPENAI, "/v1/models", {}, ("data", "id")),
        (ANTHROPIC, "/v1/models", {"anthropic-version": "2023-06-01"}, ("data", "id")),
        (GEMINI, "/v1beta/models", {}, ("models", "name")),
        (OLLAMA, "/api/tags", {}, ("models", "name")),
    ],
)
def test_models_are_listed(
    sim: ProviderSimulator, model: str, path: str, headers: dict[str, str], where: tuple[str, str]
) -> None:
    """A target lists its own model, in the provider's form."""
    target = sim.target(model)

    (entry,) = ask(f"{target.root}{path}", headers=headers).json[where[0]]

    assert entry[where[1]].removeprefix("models/") == target.name


BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [],
        "tools": [],
        "response_format": {},
        "stream_options": {},
        "tool_choice": {},
    },
    "/v1/responses": {"input": [], "text": {}, "reasoning": {}, "include": [], "tools": [], "tool_choice": {}},
    "/v1/completions": {"prompt": "", "stream_options": {}, "logprobs": 0, "stop": []},
    "/v1/messages": {"messages": [], "system": "", "tools": [], "thinking": {}, "output_config": {}, "tool_choice": {}},
    "/v1beta/models/m:generateContent": {
        "contents": [],
        "generationConfig": {},
        "toolConfig": {},
        "systemInstruction": {},
    },
    "/v2/chat": {"messages": [], "thinking": {}, "response_format": {}, "tools": []},
    "/v1/chat": {"message": "", "chat_history": [], "tool_results": [], "tools": []},
    "/api/chat": {"messages": [], "options": {}, "format": {}, "tools": []},
    "/api/generate": {"prompt": "", "options": {}, "format": {}},
    "/v1/embeddings": {"input": "", "dimensions": 1, "encoding_format": ""},
}
GOOD: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hello"}],
    "input": "hello",
    "prompt": "hello",
    "message": "hello",
    "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
    "max_tokens": 50,
}
JUNK: tuple[Any, ...] = (7, "x", True, [7], [[]], {"a": 7}, [{"a": 7}], [{"role": 7, "content": 7, "parts": 7}])


@pytest.mark.parametrize("path", BODIES)
def test_nonsense_in_any_place_is_a_bad_request(sim: ProviderSimulator, path: str) -> None:
    """Whatever stands where something else was wanted is answered or refused, and never an error of the server."""
    target = sim.target("openai/m")
    good = {
        "model": "m",
        "stream": False,
        **{key: GOOD[key] for key in GOOD if key in BODIES[path] or key == "max_tokens"},
    }
    assert ask(target.root + path, good).status == 200

    statuses = {
        (key, str(junk)): ask(target.root + path, {**good, key: junk}).status
        for key in ("model", "max_tokens", "temperature", "n", *BODIES[path])
        for junk in JUNK
    }

    assert {case: status for case, status in statuses.items() if status not in (200, 400)} == {}
    assert 400 in statuses.values()


@pytest.mark.parametrize("schema", ['{"type": "obj', '{"$ref": 3}', '{"$defs": 3, "$ref": "#/$defs/A"}', "true"])
@pytest.mark.parametrize("field", ["`a` (Thing)", "`_a` (str)", "`model_config` (str)"])
def test_a_prompt_that_only_looks_like_a_signature_is_answered_like_any_other(
    sim: ProviderSimulator, schema: str, field: str
) -> None:
    """One that was cut off, or written by hand; a failure of the server would be tried again and again."""
    target = sim.target("openai/m")
    system = (
        f"Your input fields are:\n1. `q` (str):\nYour output fields are:\n1. {field}:\n"
        "All interactions will be structured in the following way, with the appropriate values filled in.\n\n"
        "[[ ## a ## ]]\n{a}        # note: the value you produce must adhere to the JSON schema: "
        f"{schema}\n\nIn adhering to this structure, your objective is: x"
    )
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "[[ ## q ## ]]\nhi"}]

    reply = ask(f"{target.api_base}/chat/completions", {"model": "m", "messages": messages})

    assert (reply.status, bool(reply.json["choices"][0]["message"]["content"])) == (200, True)
