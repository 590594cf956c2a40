"""Anthropic's messages in chat form."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dspy.lm15 import AnthropicLM, request_from_openai_chat

from dspex_testkit.cassettes.traffic import chat_form
from dspex_testkit.cassettes.traffic.chat_form import blocks_of, known, refuse

SCHEMA_TOOL = "json_tool_call"
"""Under this name litellm asks models without response formats to call a tool whose arguments are the answer."""
_PASSED_ON = ("temperature", "top_p", "top_k")
_NOT_ASKED = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "stop_sequences", "max_tokens", "thinking", "stream"}
    | {"metadata", "service_tier", "output_config", "output_format", "cache_control"}
)
_MODEL_LIMIT = 32_000
"""Where nobody asked for a limit, litellm sends the model's own, because the provider insists on one."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def chat_of_anthropic(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The body in chat form.

    Raises:
        CassetteFormatError: It says something that an LM call has no place for.
    """
    known(body, {*_PASSED_ON, *_NOT_ASKED}, "body")
    messages = [message for i, given in enumerate(body["messages"]) for message in _messages(given, f"messages[{i}]")]
    if body.get("system"):
        messages.insert(
            0, {"role": "system", "content": chat_form.content(blocks_of(body["system"], "system", _block))}
        )
    tools = list(body.get("tools") or ())
    schema = next((tool["input_schema"] for tool in tools if tool.get("name") == SCHEMA_TOOL), None)
    chosen = body.get("tool_choice") or {}
    chat = chat_form.without_nothing(
        {
            "model": model,
            "messages": messages,
            "stop": body.get("stop_sequences"),
            "tools": [_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools) if tool.get("name") != SCHEMA_TOOL],
            "tool_choice": None if schema is not None else _choice(chosen),
            "parallel_tool_calls": False if chosen.get("disable_parallel_tool_use") and schema is None else None,
            "response_format": _format(body) if schema is None else chat_form.schema_format(schema),
            "reasoning_effort": _effort(body),
            **{name: body[name] for name in _PASSED_ON if name in body},
        }
    )
    return chat | _limit(body, chat)


def _messages(given: Mapping[str, Any], place: str) -> Iterator[dict[str, Any]]:
    """A turn as messages: results of tools travel among what the user says, and are messages of their own here."""
    blocks = given["content"]
    blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
    said, calls, thoughts = [], [], []
    for index, block in enumerate(blocks):
        where = f"{place}.content[{index}]"
        if block.get("type") == "tool_result":
            known(block, ("type", "tool_use_id", "content", "cache_control"), where)
            yield chat_form.result(
                block["tool_use_id"], blocks_of(block.get("content") or [], f"{where}.content", _block)
            )
        elif block.get("type") == "tool_use":
            calls.append(chat_form.call(block["id"], block["name"], block["input"]))
        elif block.get("type") == "thinking":
            thoughts.append(str(block["thinking"]))
        else:
            said.append(_block(block, where))
    if given["role"] == "assistant":
        yield chat_form.assistant(said, calls, thoughts)
    elif said:
        yield {"role": "user", "content": chat_form.content(said)}


def _block(block: Mapping[str, Any], place: str) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "text":
        return chat_form.text(known(block, ("type", "text", "cache_control", "citations"), place)["text"])
    source = block.get("source") or {}
    if kind in ("image", "document") and source.get("type") == "base64":
        return chat_form.media(source["media_type"], source["data"])
    if kind == "image" and source.get("type") == "url":
        return chat_form.link(source["url"])
    if kind == "document" and source.get("type") == "file":
        return {"type": "file", "file": {"file_id": source["file_id"]}}
    raise refuse(place, f"an LM call has no place for a block of type {kind!r} ({source.get('type') or 'no source'})")


def _tool(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        raise refuse(place, f"a tool of type {tool['type']!r} runs at the provider; only functions are asked for")
    return chat_form.tool(tool["name"], tool.get("description"), tool["input_schema"])


def _choice(given: Mapping[str, Any]) -> Any:
    if given.get("type") == "tool":
        return chat_form.chosen("required", given["name"])
    return _CHOICES.get(str(given.get("type")))


def _format(body: Mapping[str, Any]) -> dict[str, Any] | None:
    given = (body.get("output_config") or {}).get("format") or body.get("output_format")
    return None if given is None else chat_form.schema_format(given["schema"])


def _effort(body: Mapping[str, Any]) -> str | None:
    thinking, word = body.get("thinking") or {}, (body.get("output_config") or {}).get("effort")
    if word is not None or thinking.get("type") in (None, "adaptive"):
        return word
    if thinking["type"] == "disabled":
        return "none"
    budget = thinking["budget_tokens"]
    # DSPy's own client adds the budget to the limit, litellm does not.
    added = body.get("max_tokens") == budget + _default_limit({"model": body["model"], "messages": _ANY})
    return chat_form.effort(budget, "thinking.budget_tokens", native=added)


def _limit(body: Mapping[str, Any], chat: Mapping[str, Any]) -> dict[str, Any]:
    """The limit of tokens that was asked for; nothing where the client filled it in."""
    sent = int(body.get("max_tokens") or 0)
    if sent >= _MODEL_LIMIT or sent in (0, _default_limit({**chat, "model": body["model"]})):
        return {}
    return {"max_tokens": sent}


_ANY = [{"role": "user", "content": "-"}]


def _default_limit(chat: Mapping[str, Any]) -> int:
    """What DSPy's own client sends where nobody asked for a limit, found by having it write the request."""
    client = AnthropicLM(api_key="reading-only", transport=None)
    written = json.loads(client.build_request(request_from_openai_chat(chat), stream=False).body)
    return int(written["max_tokens"])
