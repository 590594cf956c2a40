"""What DSPy recorded is found by the official SDKs: whole, streamed, and a miss is not tried again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import anthropic
import cohere
import openai
import pytest
from google import genai
from google.genai import types

from dspex_testkit import cassettes
from dspex_testkit.simulator import ProviderSimulator, Target

pytestmark = [
    # Google's own client inherits from aiohttp's session, which aiohttp discourages.
    pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning"),
    # litellm, with which Cohere is recorded, describes its answers by a type that pydantic has a remark about.
    pytest.mark.filterwarnings("ignore:.*`ReadOnly` qualifier:UserWarning"),
]

Ask = Callable[[str], str]
Connect = Callable[[Target], AbstractContextManager[tuple[Ask, Ask]]]
SAID = "one two three"
QUESTION = "Count."


@contextmanager
def with_openai(target: Target) -> Iterator[tuple[Ask, Ask]]:
    """OpenAI's SDK, with its own retries: whole, and streamed."""
    sdk = openai.OpenAI(base_url=target.sdk_base_url, api_key=target.api_key)

    def messages(text: str) -> Any:
        return [{"role": "user", "content": text}]

    def whole(text: str) -> str:
        return sdk.chat.completions.create(model=target.name, messages=messages(text)).choices[0].message.content or ""

    def streamed(text: str) -> str:
        chunks = sdk.chat.completions.create(
            model=target.name, messages=messages(text), stream=True, stream_options={"include_usage": True}
        )
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

    with sdk:
        yield whole, streamed


@contextmanager
def with_openai_responses(target: Target) -> Iterator[tuple[Ask, Ask]]:
    """The same with Responses."""
    sdk = openai.OpenAI(base_url=target.sdk_base_url, api_key=target.api_key)

    def whole(text: str) -> str:
        return sdk.responses.create(model=target.name, input=text).output_text

    def streamed(text: str) -> str:
        events = sdk.responses.create(model=target.name, input=text, stream=True)
        return "".join(event.delta for event in events if event.type == "response.output_text.delta")

    with sdk:
        yield whole, streamed


@contextmanager
def with_anthropic(target: Target) -> Iterator[tuple[Ask, Ask]]:
    """Anthropic's SDK, which insists on a limit of tokens that nobody recorded."""
    sdk = anthropic.Anthropic(base_url=target.sdk_base_url, api_key=target.api_key)

    def messages(text: str) -> Any:
        return [{"role": "user", "content": text}]

    def whole(text: str) -> str:
        block = sdk.messages.create(model=target.name, max_tokens=9, messages=messages(text)).content[0]
        return block.text if block.type == "text" else ""

    def streamed(text: str) -> str:
        with sdk.messages.stream(model=target.name, max_tokens=9, messages=messages(text)) as stream:
            return "".join(stream.text_stream)

    with sdk:
        yield whole, streamed


@contextmanager
def with_google(target: Target) -> Iterator[tuple[Ask, Ask]]:
    """Google's SDK."""
    options = types.HttpOptions(base_url=target.sdk_base_url, retry_options=types.HttpRetryOptions(attempts=3))
    sdk = genai.Client(api_key=target.api_key, http_options=options)

    def whole(text: str) -> str:
        return sdk.models.generate_content(model=target.name, contents=text).text or ""

    def streamed(text: str) -> str:
        chunks = sdk.models.generate_content_stream(model=target.name, contents=text)
        return "".join(chunk.text or "" for chunk in chunks)

    with sdk:
        yield whole, streamed


@contextmanager
def with_cohere(target: Target) -> Iterator[tuple[Ask, Ask]]:
    """Cohere's SDK."""
    sdk = cohere.ClientV2(base_url=target.sdk_base_url, api_key=target.api_key)

    def messages(text: str) -> Any:
        return [{"role": "user", "content": text}]

    def whole(text: str) -> str:
        content = sdk.chat(model=target.name, messages=messages(text)).message.content
        return str(content[0].text) if content else ""  # type: ignore[union-attr]

    def streamed(text: str) -> str:
        events: Any = sdk.chat_stream(model=target.name, messages=messages(text))
        return "".join(event.delta.message.content.text for event in events if event.type == "content-delta")

    with sdk:
        yield whole, streamed


@pytest.mark.parametrize(
    ("model", "connect"),
    [
        ("openai/gpt-4o-mini", with_openai),
        ("openai/gpt-4o-mini", with_openai_responses),
        ("anthropic/claude-sonnet-6", with_anthropic),
        ("gemini/gemini-2.5-flash", with_google),
        ("cohere_chat/command-a-03-2025", with_cohere),
    ],
)
def test_an_sdk_hears_what_dspy_recorded(
    sim: ProviderSimulator,
    tmp_path: Path,
    model: str,
    connect: Connect,
) -> None:
    """One recording answers whole and streamed; what is not recorded is refused once, though the SDK would retry."""
    path = tmp_path / "c.yaml"
    with cassettes.record(sim.target(model, spec={"script": [SAID]}).lm(), path) as lm:
        lm(QUESTION)
    target = sim.target(model, cassette=path, cassette_options={"on_exhausted": "last"})
    with connect(target) as (whole, streamed):
        assert (whole(QUESTION), streamed(QUESTION)) == (SAID, SAID)
        for ask in (whole, streamed):
            with pytest.raises(Exception, match="Nearest is interaction 0"):
                ask("Count backwards.")

    assert len(target.calls) == 4
