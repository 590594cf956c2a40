"""Which URL belongs to which provider's format.

Only the end of a path counts, so any base in front of it works: clients of compatible servers come with `/v1`,
`/openai/v1`, `/api/v1` or nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dspex_testkit.simulator.embeddings import (
    EmbeddingWire,
    cohere_embeddings,
    gemini_embeddings,
    ollama_embeddings,
    openai_embeddings,
)
from dspex_testkit.wires.anthropic import Anthropic
from dspex_testkit.wires.base import Wire
from dspex_testkit.wires.cohere import CohereChat
from dspex_testkit.wires.cohere_v1 import CohereChatV1
from dspex_testkit.wires.gemini import Gemini
from dspex_testkit.wires.ollama import OllamaChat, OllamaGenerate
from dspex_testkit.wires.openai_chat import OpenAIChat
from dspex_testkit.wires.openai_responses import OpenAIResponses
from dspex_testkit.wires.openai_text import OpenAIText

__all__ = ["Route", "Wire", "find_route"]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a path leads; `wire` also gives an embedding's errors their shape."""

    wire: Wire
    embeddings: EmbeddingWire | None = None
    path: Mapping[str, str] = field(default_factory=dict)


_CHAT, _RESPONSES, _TEXT, _ANTHROPIC = OpenAIChat(), OpenAIResponses(), OpenAIText(), Anthropic()
_GEMINI, _COHERE, _COHERE_V1, _OLLAMA = Gemini(), CohereChat(), CohereChatV1(), OllamaChat()

_ROUTES: Final = (
    ("/chat/completions", Route(_CHAT)),
    ("/responses", Route(_RESPONSES)),
    ("/api/chat", Route(_OLLAMA)),
    ("/api/generate", Route(OllamaGenerate())),
    ("/api/embed", Route(_OLLAMA, ollama_embeddings, {"action": "embed"})),
    ("/api/embeddings", Route(_OLLAMA, ollama_embeddings, {"action": "embeddings"})),
    ("/v2/chat", Route(_COHERE)),
    ("/v1/chat", Route(_COHERE_V1)),
    ("/v2/embed", Route(_COHERE, cohere_embeddings, {"version": "v2"})),
    ("/v1/embed", Route(_COHERE_V1, cohere_embeddings, {"version": "v1"})),
    ("/completions", Route(_TEXT)),
    ("/embeddings", Route(_CHAT, openai_embeddings)),
    ("/messages", Route(_ANTHROPIC)),
)
_GEMINI_PATH: Final = re.compile(
    r"(?:/models/(?P<model>[^/:]+))?:(?P<action>generateContent|streamGenerateContent|embedContent|batchEmbedContents)$"
)


def find_route(path: str) -> Route | None:
    """The format that a path belongs to, by its end."""
    for ending, route in _ROUTES:
        if path.endswith(ending):
            return route
    found = _GEMINI_PATH.search(path)
    if found is None:
        return None
    # A base may name the model, or none: the path is then the action alone.
    said = {"model": found["model"] or "gemini", "action": found["action"]}
    return Route(_GEMINI, gemini_embeddings if "mbed" in found["action"] else None, said)


ENDINGS: Final = (*(ending for ending, _ in _ROUTES), "/models/MODEL:generateContent", "/models")
