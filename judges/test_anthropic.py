"""Anthropic's SDK: messages and models."""

import asyncio
import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from dspex_testkit.simulator import ProviderSimulator, Target
from judges.conftest import ANSWERS, SCHEMA
from tests.support.web import ask

MESSAGES: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"name": "count", "input_schema": SCHEMA}]
MODEL = "anthropic/claude-sonnet-4-5"


def client(target: Target) -> anthropic.Anthropic:
    """The SDK on a target."""
    return anthropic.Anthropic(base_url=target.sdk_base_url, api_key=target.api_key, max_retries=0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ANSWERS)
def test_bodies_are_valid(sim: ProviderSimulator, kind: str, stream: bool) -> None:
    """Every message and event passes the SDK's own types, strictly."""
    target = sim.target(MODEL, spec={"script": [ANSWERS[kind]]})
    body = {"model": target.name, "messages": MESSAGES, "max_tokens": 40, "stream": stream}
    reply = ask(f"{target.api_base}/messages", body)

    if not stream:
        TypeAdapter(Message).validate_json(reply.text, strict=True)
        return
    for event in reply.events:
        # A ping is no message event: the SDK drops it before its types.
        if event["type"] != "ping":
            TypeAdapter(RawMessageStreamEvent).validate_json(json.dumps(event), strict=True)


def test_the_client_reads_what_the_spec_says(sim: ProviderSimulator) -> None:
    """Text, thinking, tools and streams come out of the SDK as they were scripted."""
    target = sim.target(MODEL, spec={"script": ["Paris", ANSWERS["reasoned"], ANSWERS["tools"], "one two three"]})
    with client(target) as sdk:
        text = sdk.messages.create(model="m", max_tokens=50, messages=MESSAGES)
        reasoned = sdk.messages.create(model="m", max_tokens=50, messages=MESSAGES)
        tools = sdk.messages.create(model="m", max_tokens=50, messages=MESSAGES, tools=TOOLS)
        with sdk.messages.stream(model="m", max_tokens=50, messages=MESSAGES) as stream:
            heard = list(stream.text_stream)
            final = stream.get_final_message()
        assert [model.id for model in sdk.models.list()] == [target.name]

    assert (text.content[0].type, text.content[0].text) == ("text", "Paris")
    assert text.usage.input_tokens == target.calls[0].usage.input_tokens
    assert [block.type for block in reasoned.content] == ["thinking", "text"]
    assert (tools.stop_reason, tools.content[0].type) == ("tool_use", "tool_use")
    assert tools.content[0].input == {"city": "Oslo", "people": 7}
    assert heard == ["one", " two", " three"]
    assert final.usage.output_tokens == target.calls[3].usage.output_tokens


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("auth", anthropic.AuthenticationError),
        ("permission", anthropic.PermissionDeniedError),
        ("not_found", anthropic.NotFoundError),
        ("too_large", anthropic.APIStatusError),
        ("rate_limit", anthropic.RateLimitError),
        ("overloaded", anthropic.InternalServerError),
        ("close", anthropic.APIConnectionError),
    ],
)
def test_faults_raise_the_sdks_errors(sim: ProviderSimulator, kind: str, error: type[Exception]) -> None:
    """Each fault is the exception that the SDK documents."""
    with client(sim.target(MODEL, faults=[kind])) as sdk, pytest.raises(error):
        sdk.messages.create(model="m", max_tokens=50, messages=MESSAGES)


def test_the_asynchronous_client_reads_the_same(sim: ProviderSimulator) -> None:
    """Whole answers and streams, asynchronously."""
    target = sim.target(MODEL, spec={"script": ["Paris", "one two"]})

    async def use() -> tuple[Any, list[str]]:
        async with anthropic.AsyncAnthropic(base_url=target.sdk_base_url, api_key=target.api_key) as sdk:
            whole = await sdk.messages.create(model="m", max_tokens=50, messages=MESSAGES)
            async with sdk.messages.stream(model="m", max_tokens=50, messages=MESSAGES) as stream:
                return whole.content[0], [text async for text in stream.text_stream]

    block, heard = asyncio.run(use())
    assert (block.text, heard) == ("Paris", ["one", " two"])
