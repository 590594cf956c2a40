"""OpenAI's chat completions, which many other providers speak too: already in the form that DSPy reads."""

from collections.abc import Mapping
from typing import Any

_NOT_ASKED = frozenset(
    {"stream", "stream_options", "n", "user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"}
    | {"store"}
)
"""How it is sent, who asks, and how many answers are wanted: nothing that an LM call is told apart by."""


def chat_of_openai(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The body in chat form."""
    chat = {key: value for key, value in body.items() if key not in _NOT_ASKED and value is not None}
    chat["tools"] = [_loose(tool) for tool in chat.get("tools") or ()]
    return {**chat, "model": model}


def _loose(tool: Any) -> Any:
    """A tool without `strict`, which a canonical request has no place for and no program of DSPy's sends."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or "strict" not in function:
        return tool
    return {**tool, "function": {key: value for key, value in function.items() if key != "strict"}}
