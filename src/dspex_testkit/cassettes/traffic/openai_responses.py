"""OpenAI's Responses in chat form."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dspex_testkit.cassettes.traffic import chat_form
from dspex_testkit.cassettes.traffic.chat_form import blocks_of, known, refuse

_PASSED_ON = ("temperature", "top_p", "top_k", "seed", "stop", "verbosity", "parallel_tool_calls")
_NOT_ASKED = frozenset(
    {"model", "input", "instructions", "stream", "store", "user", "metadata", "safety_identifier", "include"}
    | {"service_tier", "prompt_cache_key", "tools", "tool_choice", "text", "reasoning", "max_output_tokens"}
    | {"top_logprobs", "truncation", "background"}
)


def chat_of_responses(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The body in chat form.

    Raises:
        CassetteFormatError: It says something that an LM call has no place for.
    """
    known(body, {*_PASSED_ON, *_NOT_ASKED}, "body")
    messages = list(_messages(body["input"]))
    if body.get("instructions"):
        messages.insert(0, {"role": "system", "content": body["instructions"]})
    written = body.get("text") or {}
    chat = {
        "model": model,
        "messages": messages,
        "max_tokens": body.get("max_output_tokens"),
        "tools": [_tool(tool, f"tools[{index}]") for index, tool in enumerate(body.get("tools") or ())],
        "tool_choice": _choice(body.get("tool_choice")),
        "response_format": _format(written.get("format")),
        "verbosity": written.get("verbosity"),
        "reasoning_effort": (body.get("reasoning") or {}).get("effort"),
        **{name: body[name] for name in _PASSED_ON if name in body},
    }
    if "message.output_text.logprobs" in (body.get("include") or ()):
        chat |= {"logprobs": True, "top_logprobs": body.get("top_logprobs") or 0}
    return chat_form.without_nothing(chat)


def _messages(given: Any) -> Iterator[dict[str, Any]]:
    """Items as messages: what a model said and called in one turn are several items and one message."""
    if isinstance(given, str):
        yield {"role": "user", "content": given}
        return
    turn: dict[str, Any] | None = None
    for index, item in enumerate(given):
        message = _message(item, f"input[{index}]")
        if turn is not None and message["role"] == "assistant" and message["content"] is None:
            turn = _joined(turn, message)
            continue
        if turn is not None:
            yield turn
            turn = None
        if message["role"] == "assistant":
            turn = message
        else:
            yield message
    if turn is not None:
        yield turn


def _joined(turn: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {**turn, "tool_calls": [*turn.get("tool_calls", ()), *more["tool_calls"]]}


def _message(item: Mapping[str, Any], place: str) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "function_call":
        return chat_form.assistant([], [chat_form.call(item["call_id"], item["name"], item.get("arguments"))])
    if kind == "function_call_output":
        return chat_form.result(item["call_id"], blocks_of(item.get("output") or "", f"{place}.output", _block))
    if kind != "message":
        raise refuse(place, f"an LM call has no place for an item of type {kind!r}")
    known(item, ("type", "role", "content", "id", "status"), place)
    blocks = blocks_of(item["content"], f"{place}.content", _block)
    if item["role"] == "assistant":
        return chat_form.assistant(blocks)
    return {"role": item["role"], "content": chat_form.content(blocks)}


def _block(block: Mapping[str, Any], place: str) -> dict[str, Any]:
    kind = block.get("type")
    if kind in ("input_text", "output_text", "text"):
        return chat_form.text(block["text"])
    if kind == "refusal":
        return {"type": "refusal", "refusal": block["refusal"]}
    if kind == "input_image" and block.get("image_url"):
        return chat_form.link(block["image_url"], block.get("detail"))
    if kind == "input_file" and block.get("file_data"):
        return {"type": "file", "file": {"file_data": block["file_data"]}}
    if kind == "input_file" and block.get("file_id"):
        return {"type": "file", "file": {"file_id": block["file_id"]}}
    if kind == "input_audio" and block.get("audio"):
        return {"type": "input_audio", "input_audio": {"data": block["audio"], "format": block["format"]}}
    raise refuse(place, f"an LM call has no place for a block of type {kind!r}")


def _tool(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise refuse(place, f"a tool of type {tool.get('type')!r} runs at the provider; only functions are asked for")
    return chat_form.tool(tool["name"], tool.get("description"), tool.get("parameters"))


def _choice(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    if given.get("type") == "function":
        return chat_form.chosen("required", given["name"])
    if given.get("type") == "allowed_tools":
        tools: Sequence[Mapping[str, Any]] = given["tools"]
        named = [{"type": "function", "function": {"name": tool["name"]}} for tool in tools]
        return {"type": "allowed_tools", "allowed_tools": {"mode": given["mode"], "tools": named}}
    raise refuse("tool_choice", f"an LM call cannot choose {given.get('type')!r}")


def _format(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if given is None or given.get("type") in (None, "text"):
        return None
    if given["type"] == "json_object":
        return {"type": "json_object"}
    return chat_form.schema_format(given["schema"], given.get("name"), given.get("strict"))
