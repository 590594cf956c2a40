"""Cohere's SDK: chat in both versions, embeddings."""

import asyncio
import json
from typing import Any

import cohere
import pytest
from cohere.errors import TooManyRequestsError, UnauthorizedError
from cohere.v2.types import V2ChatResponse
from pydantic import TypeAdapter

from dspex_testkit.simulator import ProviderSimulator, Target
from judges.conftest import ANSWERS, SCHEMA
from tests.support.web import ask

MESSAGES: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "count", "parameters": SCHEMA}}]
MODEL = "cohere_chat/command-a-03-2025"


def client(target: Target) -> cohere.ClientV2:
    """The SDK on a target."""
    return cohere.ClientV2(base_url=target.sdk_base_url, api_key=target.api_key)


@pytest.mark.parametrize("kind", ANSWERS)
def test_bodies_are_valid(sim: ProviderSimulator, kind: str) -> None:
    """Every body passes the SDK's own types."""
    target = sim.target(MODEL, spec={"script": [ANSWERS[kind]]})
    reply = ask(target.api_base, {"model": "m", "messages": MESSAGES, "max_tokens": 40, "logprobs": True})

    TypeAdapter(V2ChatResponse).validate_json(reply.text)


def test_the_client_reads_what_the_spec_says(sim: ProviderSimulator) -> None:
    """Text, tools and streams come out of the SDK as they were scripted."""
    target = sim.target(MODEL, spec={"script": ["Paris", ANSWERS["tools"], "one two three", ANSWERS["tools"]]})
    with client(target) as sdk:
        text = sdk.chat(model="m", messages=MESSAGES)
        called = sdk.chat(model="m", messages=MESSAGES, tools=TOOLS).message.tool_calls
        events = list(sdk.chat_stream(model="m", messages=MESSAGES))
        tool_events = list(sdk.chat_stream(model="m", messages=MESSAGES, tools=TOOLS))
        embedded = sdk.embed(model="m", texts=["a cat"], input_type="search_query", embedding_types=["float"])

    assert text.message.content is not None
    assert text.message.content[0].text == "Paris"
    assert called is not None
    assert json.loads(called[0].function.arguments or "") == {"city": "Oslo", "people": 7}
    heard = [e.delta.message.content.text for e in events if e.type == "content-delta"]
    assert heard == ["one", " two", " three"]
    assert events[0].type == "message-start"
    assert events[-1].type == "message-end"
    arguments = "".join(
        event.delta.message.tool_calls.function.arguments for event in tool_events if event.type == "tool-call-delta"
    )
    assert json.loads(arguments) == {"city": "Oslo", "people": 7}
    assert embedded.embeddings.float_ is not None
    assert len(embedded.embeddings.float_[0]) == 128


def test_the_first_version_is_read_too(sim: ProviderSimulator) -> None:
    """Whole and streamed."""
    target = sim.target(MODEL, spec={"script": ["Paris", "one two"]})
    with cohere.Client(base_url=target.sdk_base_url, api_key=target.api_key) as sdk:
        whole = sdk.chat(message="hello").text
        heard = [event.text for event in sdk.chat_stream(message="hello") if event.event_type == "text-generation"]

    assert whole == "Paris"
    assert heard == ["one", " two"]


def test_faults_raise_the_sdks_errors(sim: ProviderSimulator) -> None:
    """Each fault is the exception that the SDK documents."""
    for kind, error in (("auth", UnauthorizedError), ("rate_limit", TooManyRequestsError)):
        with client(sim.target(MODEL, faults=[kind])) as sdk, pytest.raises(error):
            sdk.chat(model="m", messages=MESSAGES, request_options={"max_retries": 0})


def test_the_asynchronous_client_reads_the_same(sim: ProviderSimulator) -> None:
    """Whole answers and streams, asynchronously."""
    target = sim.target(MODEL, spec={"script": ["Paris", "one two"]})

    async def use() -> tuple[Any, list[Any]]:
        async with cohere.AsyncClientV2(base_url=target.sdk_base_url, api_key=target.api_key) as sdk:
            whole = await sdk.chat(model="m", messages=MESSAGES)
            heard = [
                event.delta.message.content.text
                async for event in sdk.chat_stream(model="m", messages=MESSAGES)
                if event.type == "content-delta"
            ]
            return whole.message.content, heard

    content, heard = asyncio.run(use())
    assert (content[0].text, heard) == ("Paris", ["one", " two"])
