"""OpenAI's SDK: chat, Responses, text completions, embeddings, models."""

import asyncio
import base64
import json
import struct
from typing import Any

import openai
import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from dspex_testkit.simulator import ProviderSimulator, Target
from judges.conftest import ANSWERS, SCHEMA
from tests.support.web import ask

MESSAGES: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "count", "parameters": SCHEMA}}]
MODEL = "openai/gpt-4o-mini"


def client(target: Target) -> openai.OpenAI:
    """The SDK on a target."""
    return openai.OpenAI(base_url=target.sdk_base_url, api_key=target.api_key, max_retries=0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ANSWERS)
def test_chat_bodies_are_valid(sim: ProviderSimulator, kind: str, stream: bool) -> None:
    """Every body and chunk passes the SDK's own types, strictly."""
    target = sim.target(MODEL, spec={"script": [ANSWERS[kind]]})
    more = {"stream_options": {"include_usage": True}} if stream else {}
    body = {"model": target.name, "messages": MESSAGES, "max_tokens": 40, "logprobs": True, "top_logprobs": 2, **more}
    reply = ask(f"{target.api_base}/chat/completions", {**body, "stream": stream})

    if stream:
        for event in reply.events:
            TypeAdapter(ChatCompletionChunk).validate_json(json.dumps(event), strict=True)
    else:
        TypeAdapter(ChatCompletion).validate_json(reply.text, strict=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ANSWERS)
def test_responses_are_valid(sim: ProviderSimulator, kind: str, stream: bool) -> None:
    """Every response and event passes the SDK's own types, strictly."""
    target = sim.target(MODEL, spec={"script": [ANSWERS[kind]]})
    tool = {"type": "function", "name": "count", "parameters": SCHEMA, "strict": True}
    body = {"model": target.name, "input": "hello", "max_output_tokens": 40, "tools": [tool], "stream": stream}
    reply = ask(f"{target.api_base}/responses", {**body, "include": ["message.output_text.logprobs"]})

    if stream:
        for event in reply.events:
            TypeAdapter(ResponseStreamEvent).validate_json(json.dumps(event), strict=True)
    else:
        TypeAdapter(Response).validate_json(reply.text, strict=True)


def test_text_completions_and_embeddings_are_valid(sim: ProviderSimulator) -> None:
    """The two older formats pass as well."""
    target = sim.target(MODEL)
    text = ask(f"{target.api_base}/completions", {"model": "m", "prompt": "hello", "logprobs": 2}).text
    vectors = ask(f"{target.api_base}/embeddings", {"model": "m", "input": ["a", "b"]}).text

    TypeAdapter(Completion).validate_json(text, strict=True)
    TypeAdapter(CreateEmbeddingResponse).validate_json(vectors, strict=True)


def test_the_client_reads_what_the_spec_says(sim: ProviderSimulator) -> None:
    """Text, tools, usage and streams come out of the SDK as they were scripted."""
    target = sim.target(MODEL, spec={"script": ["Paris", ANSWERS["tools"], "one two three", "four five"]})
    with client(target) as openai_client:
        create = openai_client.chat.completions.create
        text = create(model="m", messages=MESSAGES)
        tools = create(model="m", messages=MESSAGES, tools=TOOLS)
        stream = create(model="m", messages=MESSAGES, stream=True)
        heard = [chunk.choices[0].delta.content or "" for chunk in stream]
        with openai_client.responses.stream(model="m", input="hello") as events:
            final = events.get_final_response()
        assert [model.id for model in openai_client.models.list()] == ["gpt-4o-mini"]
        embedded = openai_client.embeddings.create(model="m", input="a cat").data[0].embedding

    assert text.choices[0].message.content == "Paris"
    assert text.usage is not None
    assert text.usage.total_tokens == target.calls[0].usage.total_tokens
    called = tools.choices[0].message.tool_calls
    assert called is not None
    assert json.loads(called[0].function.arguments) == {"city": "Oslo", "people": 7}
    assert [piece for piece in heard if piece] == ["one", " two", " three"]
    assert final.output_text == "four five"
    assert len(embedded) == 128


def test_embeddings_are_sent_as_numbers_or_base64(sim: ProviderSimulator) -> None:
    """Both spellings hold the same vector."""
    url = f"{sim.target(MODEL).api_base}/embeddings"
    numbers = ask(url, {"model": "m", "input": "x"}).json["data"][0]["embedding"]
    packed = ask(url, {"model": "m", "input": "x", "encoding_format": "base64"}).json["data"][0]["embedding"]

    assert list(struct.unpack("<128f", base64.b64decode(packed))) == pytest.approx(numbers, abs=1e-6)


def test_a_parsed_answer_fits_its_schema(sim: ProviderSimulator) -> None:
    """`parse` gives an object of the model that was asked for."""
    from pydantic import BaseModel

    class City(BaseModel):
        city: str
        people: int

    with client(sim.target(MODEL)) as openai_client:
        parsed = openai_client.chat.completions.parse(model="m", messages=MESSAGES, response_format=City)
        answered = openai_client.responses.parse(model="m", input="hello", text_format=City)

    assert isinstance(parsed.choices[0].message.parsed, City)
    assert isinstance(answered.output_parsed, City)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("auth", openai.AuthenticationError),
        ("permission", openai.PermissionDeniedError),
        ("not_found", openai.NotFoundError),
        ("rate_limit", openai.RateLimitError),
        ("invalid_request", openai.BadRequestError),
        ("server_error", openai.InternalServerError),
        ("reset", openai.APIConnectionError),
    ],
)
def test_faults_raise_the_sdks_errors(sim: ProviderSimulator, kind: str, error: type[Exception]) -> None:
    """Each fault is the exception that the SDK documents."""
    with client(sim.target(MODEL, faults=[kind])) as openai_client, pytest.raises(error):
        openai_client.chat.completions.create(model="m", messages=MESSAGES)


def test_the_asynchronous_client_reads_the_same(sim: ProviderSimulator) -> None:
    """Whole answers and streams, asynchronously."""
    target = sim.target(MODEL, spec={"script": ["Paris", "one two"]})

    async def use() -> tuple[str | None, list[str]]:
        async with openai.AsyncOpenAI(base_url=target.sdk_base_url, api_key=target.api_key) as openai_client:
            whole = await openai_client.chat.completions.create(model="m", messages=MESSAGES)
            stream = await openai_client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            return whole.choices[0].message.content, [
                chunk.choices[0].delta.content async for chunk in stream if chunk.choices[0].delta.content
            ]

    assert asyncio.run(use()) == ("Paris", ["one", " two"])
