"""Google's SDK and its protobuf: generate, stream, embed, models."""

import asyncio
import json
from typing import Any

import pytest
from google import genai
from google.ai.generativelanguage import BatchEmbedContentsResponse, GenerateContentResponse
from google.genai import errors, types

from dspex_testkit.simulator import ProviderSimulator, Target
from judges.conftest import ANSWERS, SCHEMA
from tests.support.web import ask

# Its own client inherits from aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

MODEL = "gemini/gemini-2.5-flash"
NEWER_THAN_THE_PROTOBUF_PACKAGE = {("thought",), ("thoughtsTokenCount",), ("id",), ("responseId",)}


def client(target: Target) -> genai.Client:
    """The SDK on a target."""
    return genai.Client(api_key=target.api_key, http_options=types.HttpOptions(base_url=target.sdk_base_url))


def without_news(value: Any) -> Any:
    """A body without the fields that the published protobuf package does not know yet."""
    if isinstance(value, dict):
        return {k: without_news(v) for k, v in value.items() if (k,) not in NEWER_THAN_THE_PROTOBUF_PACKAGE}
    return [without_news(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("action", ["generateContent", "streamGenerateContent"])
@pytest.mark.parametrize("kind", ANSWERS)
def test_bodies_are_valid(sim: ProviderSimulator, kind: str, action: str) -> None:
    """Every body is strict protobuf JSON: no unknown field, no unknown enum value."""
    target = sim.target(MODEL, spec={"script": [ANSWERS[kind]]})
    config = {"maxOutputTokens": 40, "responseLogprobs": True, "logprobs": 2}
    body = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}], "generationConfig": config}
    reply = ask(f"{target.api_base}/models/{target.name}:{action}?alt=sse", body)

    for event in [reply.json] if action == "generateContent" else reply.events:
        GenerateContentResponse.from_json(json.dumps(without_news(event)), ignore_unknown_fields=False)


def test_embeddings_are_valid(sim: ProviderSimulator) -> None:
    """So are vectors."""
    target = sim.target(MODEL)
    request = {"model": "models/m", "content": {"parts": [{"text": "a cat"}]}}
    reply = ask(f"{target.api_base}/models/m:batchEmbedContents", {"requests": [request]})

    BatchEmbedContentsResponse.from_json(reply.text, ignore_unknown_fields=False)


def test_the_client_reads_what_the_spec_says(sim: ProviderSimulator) -> None:
    """Text, thoughts, tools and streams come out of the SDK as they were scripted."""
    target = sim.target(MODEL, spec={"script": ["Paris", ANSWERS["reasoned"], ANSWERS["tools"], "one two three"]})
    declared = types.FunctionDeclaration(name="count", parameters_json_schema=SCHEMA)
    tools = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    with client(target) as sdk:
        generate = sdk.models.generate_content
        text = generate(model="m", contents="hello")
        reasoned = generate(model="m", contents="hello")
        called = generate(model="m", contents="hello", config=tools)
        heard = [chunk.text for chunk in sdk.models.generate_content_stream(model="m", contents="hello")]
        listed = [model.name for model in sdk.models.list()]
        embedded = sdk.models.embed_content(model="m", contents=["a cat"]).embeddings

    assert text.text == "Paris"
    assert text.usage_metadata is not None
    assert text.usage_metadata.total_token_count == target.calls[0].usage.total_tokens
    parts = reasoned.candidates[0].content.parts
    assert parts is not None
    assert [part.thought for part in parts] == [True, None]
    assert called.function_calls is not None
    assert called.function_calls[0].args == {"city": "Oslo", "people": 7}
    assert heard == ["one", " two", " three"]
    assert listed == [f"models/{target.name}"]
    assert embedded is not None
    assert len(embedded[0].values or ()) == 128


@pytest.mark.parametrize(("kind", "code"), [("auth", 401), ("rate_limit", 429), ("invalid_request", 400)])
def test_faults_raise_client_errors(sim: ProviderSimulator, kind: str, code: int) -> None:
    """Each fault is the exception that the SDK documents."""
    with client(sim.target(MODEL, faults=[kind])) as sdk, pytest.raises(errors.ClientError) as raised:
        sdk.models.generate_content(model="m", contents="hello")
    assert raised.value.code == code


def test_faults_of_the_server_raise_server_errors(sim: ProviderSimulator) -> None:
    """So is one of the server."""
    with client(sim.target(MODEL, faults=["overloaded"])) as sdk, pytest.raises(errors.ServerError):
        sdk.models.generate_content(model="m", contents="hello")


def test_the_asynchronous_client_reads_the_same(sim: ProviderSimulator) -> None:
    """Whole answers and streams, asynchronously."""
    target = sim.target(MODEL, spec={"script": ["Paris", "one two"]})

    async def use() -> tuple[str | None, list[str | None]]:
        sdk = client(target).aio
        whole = await sdk.models.generate_content(model="m", contents="hello")
        stream = await sdk.models.generate_content_stream(model="m", contents="hello")
        heard = [chunk.text async for chunk in stream]
        await sdk.aclose()
        return whole.text, heard

    assert asyncio.run(use()) == ("Paris", ["one", " two"])
