"""The lists of models that clients ask for."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_CREATED = 1_700_000_000

OLLAMA_MODEL: Final = {
    "modelfile": "",
    "parameters": "",
    "template": "{{ .System }} {{ .Tools }} {{ .Prompt }}",
    "details": {"format": "gguf", "family": "simulated"},
    "model_info": {"general.architecture": "simulated", "simulated.context_length": 128_000},
    "capabilities": ["completion", "tools", "thinking"],
}
"""What Ollama tells about any model."""


def models_list(provider: str, models: Sequence[str], path: str) -> dict[str, Any]:
    """The list as a provider gives it.

    Args:
        provider: Whose client is asking.
        models: What there is.
        path: The end of the URL: `models` or `tags`.
    """
    if path == "tags":
        return {"models": [{"name": name, "model": name, "size": 1, "digest": "sim"} for name in models]}
    if provider == "anthropic":
        entries = [anthropic_model(name) for name in models]
        ends = {"first_id": models[0] if models else None, "last_id": models[-1] if models else None}
        return {"data": entries, "has_more": False, **ends}
    if provider == "google":
        return {"models": [gemini_model(name) for name in models]}
    if provider == "cohere":
        return {"models": [{"name": name, "endpoints": ["chat"], "context_length": 128_000} for name in models]}
    return {"object": "list", "data": [openai_model(name) for name in models]}


def model_entry(provider: str, name: str) -> dict[str, Any]:
    """One model as a provider describes it."""
    entries = {"anthropic": anthropic_model, "google": gemini_model}
    return entries.get(provider, openai_model)(name)


def openai_model(name: str) -> dict[str, Any]:
    """A model of OpenAI and those compatible with it."""
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "simulator"}


def anthropic_model(name: str) -> dict[str, Any]:
    """A model of Anthropic."""
    return {"type": "model", "id": name, "display_name": name, "created_at": "2024-01-01T00:00:00Z"}


def gemini_model(name: str) -> dict[str, Any]:
    """A model of Gemini."""
    return {
        "name": f"models/{name}",
        "displayName": name,
        "inputTokenLimit": 1_000_000,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def asking_provider(headers: Mapping[str, str], path: str) -> str:
    """The provider whose client is asking, where the URL alone does not tell."""
    if "anthropic-version" in headers:
        return "anthropic"
    if "x-goog-api-key" in headers or "/v1beta/" in path:
        return "google"
    return "openai"
