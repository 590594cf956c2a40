"""What litellm asks and reads, which the simulator goes by; so it was from 1.103 to 1.110."""

from collections.abc import Iterator
from typing import Any

import litellm
import pytest

from dspex_testkit.simulator import ProviderSimulator, Target
from tests.support.loops import close_current_loop

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """Close the loop that litellm leaves."""
    yield
    close_current_loop()


def streamed(model: str, target: Target, path: str) -> str:
    """What litellm hears of a stream."""
    pieces = litellm.completion(
        model, messages=HELLO, api_base=target.root + path, api_key=target.api_key, stream=True, max_retries=0
    )
    return "".join(piece.choices[0].delta.content or "" for piece in pieces)


def test_coheres_stream_is_read_in_its_first_version_only(sim: ProviderSimulator) -> None:
    """Of the second, whose events have names as Cohere documents them, litellm cannot read the first line."""
    target = sim.target("cohere_chat/command-r", spec={"responses": {"default": "one two"}})

    assert streamed("cohere_chat/v1/command-r", target, "/v1/chat") == "one two"
    with pytest.raises(litellm.exceptions.MidStreamFallbackError, match="event: message-start"):
        streamed("cohere_chat/command-r", target, "/v2/chat")


def test_ollama_is_asked_what_a_model_can_do(sim: ProviderSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It believes what `/api/show` says, where it does not know the model."""
    monkeypatch.setenv("OLLAMA_API_BASE", sim.target("ollama_chat/house-model").litellm_api_base)

    assert litellm.supports_function_calling("ollama/house-model")
