"""What a provider's body asks is the same, whether a server reads it or the converter of recordings.

A server that answers by heart sees no pictures and ignores what it does not know; the converter refuses what an LM call
has no place for. Beside that, one body is one request. `DIFFERENT` says where that is not so yet, or never will be.
"""

import json
from typing import Any

import pytest

from dspex_testkit.cassettes.traffic import Exchange, read_exchange
from dspex_testkit.dspy_internals.wire import request_to_dict
from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.simulator.routes import find_route
from dspex_testkit.wires.media import media_mark
from tests.support.fixture_files import samples

SAMPLES = samples("wire_samples")
CHAT, RESPONSES, ANTHROPIC = "/v1/chat/completions", "/v1/responses", "/v1/messages"
GEMINI = "/v1beta/models/gemini-2.5-flash:generateContent"

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
IN_CAPITALS = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "propertyOrdering": ["city"]}
CALLED = {"name": "count", "description": "Counts.", "parameters": PARAMETERS}
PICTURE = "iVBORw0KGgo="
HI = [{"role": "user", "content": "hi"}]


def chat(**more: Any) -> tuple[str, dict[str, Any]]:
    """A body in OpenAI's chat format."""
    return CHAT, {"model": "gpt-4o-mini", "messages": HI, **more}


def responses(**more: Any) -> tuple[str, dict[str, Any]]:
    """A body in OpenAI's Responses format."""
    return RESPONSES, {"model": "gpt-5", "input": "hi", **more}


def anthropic(**more: Any) -> tuple[str, dict[str, Any]]:
    """A body in Anthropic's format."""
    return ANTHROPIC, {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": HI, **more}


def gemini(*contents: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    """A body in Gemini's format."""
    return GEMINI, {"contents": list(contents) or [{"role": "user", "parts": [{"text": "hi"}]}], **more}


BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "openai sample": (SAMPLES["openai"]["path"], SAMPLES["openai"]["request"]),
    "anthropic sample": (SAMPLES["anthropic"]["path"], SAMPLES["anthropic"]["request"]),
    "gemini sample": (SAMPLES["gemini"]["path"], SAMPLES["gemini"]["request"]),
    "chat parameters": chat(temperature=0.5, top_p=0.9, seed=7, stop=["x"], max_tokens=9, frequency_penalty=0.1),
    "chat top_k": chat(top_k=5),
    "chat effort": chat(reasoning_effort="high"),
    "chat schema": chat(
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": PARAMETERS, "strict": True}}
    ),
    "chat tools": chat(tools=[{"type": "function", "function": CALLED}], tool_choice="required"),
    "chat parallel tools": chat(tools=[{"type": "function", "function": CALLED}], parallel_tool_calls=False),
    "chat allowed tools": chat(
        tools=[{"type": "function", "function": CALLED}],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "count"}}]},
        },
    ),
    "chat conversation": chat(
        messages=[
            {"role": "system", "content": "Be brief."},
            *HI,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "count", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "7"},
        ]
    ),
    "chat picture": chat(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
                ],
            }
        ]
    ),
    "responses parameters": responses(
        instructions="Be brief.", temperature=0.5, top_p=0.9, max_output_tokens=9, reasoning={"effort": "low"}
    ),
    "responses verbosity": responses(text={"verbosity": "low"}),
    "responses schema": responses(
        text={"format": {"type": "json_schema", "name": "c", "schema": PARAMETERS, "strict": True}}
    ),
    "responses tools": responses(
        tools=[{"type": "function", **CALLED}], tool_choice={"type": "function", "name": "count"}
    ),
    "responses conversation": responses(
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]},
            {"type": "function_call", "call_id": "c1", "name": "count", "arguments": '{"city": "Oslo"}'},
            {"type": "function_call", "call_id": "c2", "name": "count", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "7"},
            {"type": "function_call_output", "call_id": "c2", "output": "8"},
        ]
    ),
    "responses picture": responses(
        input=[
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}", "detail": "low"}],
            }
        ]
    ),
    "responses provider's tool": responses(tools=[{"type": "web_search"}]),
    "anthropic parameters": anthropic(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop_sequences=["x"],
    ),
    "anthropic schema": anthropic(output_config={"format": {"type": "json_schema", "schema": PARAMETERS}}),
    "anthropic schema as a tool": anthropic(
        tools=[{"name": "json_tool_call", "input_schema": PARAMETERS}],
        tool_choice={"type": "tool", "name": "json_tool_call"},
    ),
    "anthropic tools": anthropic(
        tools=[{"name": "count", "description": "Counts.", "input_schema": PARAMETERS}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    ),
    "anthropic conversation": anthropic(
        messages=[
            *HI,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "so"},
                    {"type": "tool_use", "id": "c1", "name": "count", "input": {"city": "Oslo"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "7"}]},
                    {"type": "text", "text": "and?"},
                ],
            },
        ]
    ),
    "anthropic picture": anthropic(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
                    {"type": "text", "text": "see"},
                ],
            }
        ]
    ),
    "anthropic failed tool": anthropic(
        messages=[
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "no", "is_error": True}],
            }
        ]
    ),
    "anthropic provider's tool": anthropic(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
    "anthropic limit of the model": anthropic(max_tokens=64_000),
    "anthropic effort": anthropic(output_config={"effort": "high"}),
    "anthropic budget": anthropic(max_tokens=9_999, thinking={"type": "enabled", "budget_tokens": 4096}),
    "anthropic without thoughts": anthropic(thinking={"type": "disabled"}),
    "gemini parameters": gemini(
        generationConfig={
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 5,
            "seed": 7,
            "stopSequences": ["x"],
            "maxOutputTokens": 9,
        }
    ),
    "gemini in protobuf's spelling": gemini(
        {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": PICTURE}}]},
        system_instruction={"parts": [{"text": "Be brief."}]},
        generation_config={"max_output_tokens": 9, "response_mime_type": "application/json"},
    ),
    "gemini penalties": gemini(generationConfig={"frequencyPenalty": 0.1, "presencePenalty": 0.2}),
    "gemini schema": gemini(
        generationConfig={"responseMimeType": "application/json", "responseJsonSchema": PARAMETERS}
    ),
    "gemini schema in capitals": gemini(generationConfig={"responseSchema": IN_CAPITALS}),
    "gemini tools": gemini(
        tools=[{"functionDeclarations": [{"name": "count", "parameters": IN_CAPITALS}]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["count"]}},
    ),
    "gemini allowed functions": gemini(
        tools=[{"functionDeclarations": [{"name": "count"}, {"name": "sum"}]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["count", "sum"]}},
    ),
    "gemini conversation": gemini(
        {"role": "user", "parts": [{"text": "hi"}]},
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True},
                {"functionCall": {"name": "count", "args": {"city": "Oslo"}}},
                {"functionCall": {"name": "count", "args": {"city": "Rome"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "count", "response": {"result": "7"}}},
                {"functionResponse": {"name": "count", "response": {"people": 8, "of": "them"}}},
            ],
        },
    ),
    "gemini calls with ids": gemini(
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "count", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "count", "response": {"result": "7"}}}]},
    ),
    "gemini two texts": gemini({"role": "user", "parts": [{"text": "Be brief."}, {"text": "hi"}]}),
    "gemini level of thinking": gemini(generationConfig={"thinkingConfig": {"thinkingLevel": "high"}}),
    "gemini budget": gemini(generationConfig={"thinkingConfig": {"thinkingBudget": 4096, "includeThoughts": True}}),
    "gemini without thoughts": gemini(generationConfig={"thinkingConfig": {"thinkingBudget": 0}}),
    "gemini code": gemini({"role": "user", "parts": [{"executableCode": {"code": "1"}}]}),
}

DIFFERENT: dict[str, set[str]] = {
    # Left out by whoever only answers.
    "responses provider's tool": {"refused"},
    "anthropic provider's tool": {"refused"},
    "anthropic failed tool": {"refused"},
    "gemini code": {"refused"},
    "responses verbosity": {"config.extensions"},
    # Thoughts are answered where they are to be seen; a recording is of a call that asked for them to be made.
    "anthropic effort": {"config.reasoning"},
    "anthropic budget": {"config.reasoning"},
    "gemini level of thinking": {"config.reasoning"},
    "gemini budget": {"config.reasoning"},
    # Guesses at clients' habits, which are the converter's alone.
    "anthropic schema as a tool": {"config.response_format", "config.tool_choice", "tools"},
    "anthropic limit of the model": {"config.max_tokens"},
    "gemini two texts": {"messages", "system"},
}
"""What is made something else of on purpose, by body."""


def served(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a simulated provider reads."""
    route = find_route(path)
    assert route is not None
    return compared(request_to_dict(route.wire.read(body, route.path).request))


def converted(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the converter reads, of a call that the provider refused."""
    exchange = Exchange("POST", f"https://llm.test{path}", json.dumps(body).encode(), 500, "", (), b"{}")
    (interaction,) = read_exchange(exchange).interactions
    return compared(interaction.request)


def compared(request: dict[str, Any]) -> dict[str, Any]:
    """A request part by part, pictures as marks, without thoughts."""
    messages = [(message["role"], parts(message["parts"])) for message in request["messages"]]
    config = {f"config.{name}": value for name, value in (request.get("config") or {}).items() if value is not None}
    return {"system": parts(request.get("system")), "messages": messages, "tools": request.get("tools") or [], **config}


def parts(given: Any) -> list[Any]:
    """Parts; texts in a row, and what stands for pictures, are one."""
    found: list[Any] = []
    for part in [{"type": "text", "text": given}] if isinstance(given, str) else given or ():
        if part["type"] == "tool_result":
            found.append({"id": part["id"], "result": parts(part["content"])})
        elif part["type"] == "tool_call":
            found.append({name: part[name] for name in ("id", "name", "input")})
        elif part["type"] != "thinking":
            text = part["text"] if part["type"] == "text" else media_mark(part["type"], part)
            found[-1:] = [f"{found[-1]}\n{text}"] if found and isinstance(found[-1], str) else [*found[-1:], text]
    return found


def differences(path: str, body: dict[str, Any]) -> set[str]:
    """What the two make something else of."""
    try:
        there = converted(path, body)
    except CassetteFormatError:
        return {"refused"}
    here = served(path, body)
    return {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_asks_the_same_of_a_server_and_in_a_recording(name: str) -> None:
    """Beside what is known to differ, and that does."""
    assert differences(*BODIES[name]) == DIFFERENT.get(name, set())
