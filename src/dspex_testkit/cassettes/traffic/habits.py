"""What clients make of an LM call on its way to the wire, undone: guesses, each at the habit of a client.

A body says what was sent, not what was asked. DSPy's own client and litellm fill in limits, write efforts as numbers of
tokens, and ask for schemas by tools; a program that asks again says it in DSPy's words.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dspy.lm15 import AnthropicLM, request_from_openai_chat

from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.wires.chat_form import Chat, content, schema_format

SCHEMA_TOOL = "json_tool_call"
"""Under this name litellm asks models without response formats to call a tool whose arguments are the answer."""
_MODEL_LIMIT = 32_000
"""Where nobody asked for a limit, litellm sends the model's own, because Anthropic insists on one."""
_NATIVE_BUDGETS = {1024: "minimal", 2048: "low", 8192: "medium", 16384: "high", 24576: "xhigh", 32768: "max"}
"""Tokens of thinking that DSPy's own client asks for, by effort."""
_LITELLM_BUDGETS = {
    1: "minimal",
    128: "minimal",
    512: "minimal",
    1024: "low",
    2048: "medium",
    4096: "high",
    8192: "xhigh",
    16384: "max",
}
"""The same of litellm."""
_ANY = [{"role": "user", "content": "-"}]


def asked_of_openai(chat: Chat, model: str) -> dict[str, Any]:
    """What was asked in one of OpenAI's formats: what was sent."""
    return {**chat.form, "tools": [_loose(tool) for tool in chat.form.get("tools") or ()]}


def asked_of_anthropic(chat: Chat, model: str) -> dict[str, Any]:
    """What was asked of Anthropic."""
    form = _schema_asked_for({name: value for name, value in chat.form.items() if name != "max_tokens"})
    limit, budget = int(chat.form.get("max_tokens") or 0), chat.thinking.budget
    # DSPy's own client adds the budget to the limit, litellm does not.
    native = bool(budget) and limit - (budget or 0) == _default_limit({"messages": _ANY}, model)
    form |= _effort(chat, "thinking.budget_tokens", native=native)
    filled_in = limit >= _MODEL_LIMIT or limit in (0, _default_limit(form, model))
    return form if filled_in else {**form, "max_tokens": limit}


def asked_of_gemini(chat: Chat, model: str) -> dict[str, Any]:
    """What was asked of Gemini."""
    # litellm asks to see the thoughts; DSPy's own client does so only where a program says so.
    effort = _effort(chat, "generationConfig.thinkingConfig.thinkingBudget", native=not chat.thinking.shown)
    return {**chat.form, "messages": _system_apart(chat.form["messages"]), **effort}


def as_asked(form: Mapping[str, Any]) -> dict[str, Any]:
    """The form with what DSPy's adapters say, and no wire has to."""
    named = {"response_format": _named(form["response_format"])} if "response_format" in form else {}
    return {**form, "messages": _with_names(form["messages"]), **named}


def _loose(tool: Any) -> Any:
    """A tool without `strict`, which a canonical request has no place for and no program of DSPy's sends."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or "strict" not in function:
        return tool
    return {**tool, "function": {key: value for key, value in function.items() if key != "strict"}}


def _schema_asked_for(form: dict[str, Any]) -> dict[str, Any]:
    """The form with a response format where litellm wrote a tool."""
    tools = {tool["function"]["name"]: tool for tool in form.get("tools") or ()}
    schema = tools.pop(SCHEMA_TOOL, None)
    if schema is None:
        return form
    kept = {name: form[name] for name in form if name not in ("tools", "tool_choice", "parallel_tool_calls")}
    return {**kept, "tools": [*tools.values()], "response_format": schema_format(schema["function"]["parameters"])}


def _effort(chat: Chat, place: str, *, native: bool) -> dict[str, str]:
    """The effort that was asked for, in a word, where a client may have written it as a number of tokens.

    Raises:
        CassetteFormatError: No effort is written so.
    """
    budget = chat.thinking.budget
    if budget is None or "reasoning_effort" in chat.form:
        return {}
    first, second = (_NATIVE_BUDGETS, _LITELLM_BUDGETS) if native else (_LITELLM_BUDGETS, _NATIVE_BUDGETS)
    found = "none" if budget == 0 else first.get(budget) or second.get(budget)
    if found is None:
        raise CassetteFormatError(f"{place}: {budget!r} tokens of thinking are no reasoning_effort that DSPy knows")
    return {"reasoning_effort": found}


def _default_limit(form: Mapping[str, Any], model: str) -> int:
    """What DSPy's own client sends where nobody asked for a limit, found by having it write the request."""
    client = AnthropicLM(api_key="reading-only", transport=None)
    written = json.loads(client.build_request(request_from_openai_chat({**form, "model": model}), stream=False).body)
    return int(written["max_tokens"])


def _system_apart(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with instructions of their own.

    For models that it believes to know no system prompt, litellm sends it as the first text of the first message.
    """
    first, *rest = messages
    blocks = first["content"]
    if first["role"] != "user" or not isinstance(blocks, list) or any(block["type"] != "text" for block in blocks[:2]):
        return [*messages]
    return [{"role": "system", "content": blocks[0]["text"]}, {**first, "content": content(blocks[1:])}, *rest]


def _named(given: Any) -> Any:
    """A response format with a name: one made from a class carries the class's, and DSPy sends those strict.

    Some providers keep neither the name of a schema nor whether it is strict.
    """
    described = given.get("json_schema") if isinstance(given, Mapping) else None
    if not isinstance(described, Mapping) or described.get("name") is not None:
        return given
    title = described["schema"].get("title")
    named = {"name": title, "strict": True} if isinstance(title, str) else {}
    return {**given, "json_schema": {**described, **named}}


def _with_names(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose results name their tools, as DSPy's adapters write them; on the wire the call's id is enough."""
    names = {call["id"]: call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()}
    return [
        {**message, "name": names[message["tool_call_id"]]} if message.get("tool_call_id") in names else message
        for message in messages
    ]
