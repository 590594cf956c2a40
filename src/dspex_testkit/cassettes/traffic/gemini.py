"""Gemini's contents in chat form."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dspex_testkit.cassettes.traffic import chat_form
from dspex_testkit.cassettes.traffic.chat_form import known, refuse

_UNDERSCORE = re.compile(r"_([a-z])")
_NOT_ASKED = frozenset(
    {"model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"}
    | {"labels", "serviceTier", "store"}
)
_CONFIG = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
}
_READ_APART = frozenset(
    {"candidateCount", "responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema"}
    | {"thinkingConfig", "responseLogprobs", "logprobs"}
)
_MODES = {"ANY": "required", "NONE": "none", "AUTO": "auto"}


def chat_of_gemini(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The body in chat form.

    Raises:
        CassetteFormatError: It says something that an LM call has no place for.
    """
    body = known(_camel(body), _NOT_ASKED, "body")
    config = known(_camel(body.get("generationConfig") or {}), {*_CONFIG, *_READ_APART}, "generationConfig")
    system, contents = _system(body)
    turns = _Turns()
    messages = [message for i, given in enumerate(contents) for message in turns.messages(given, f"contents[{i}]")]
    if system:
        blocks = [_block(part, f"systemInstruction.parts[{i}]") for i, part in enumerate(system)]
        messages.insert(0, {"role": "system", "content": chat_form.content(blocks)})
    chat = {
        "model": model,
        "messages": messages,
        "tools": list(_tools(body)),
        "tool_choice": _choice(_camel(body.get("toolConfig") or {})),
        "response_format": _format(config),
        "reasoning_effort": _effort(_camel(config.get("thinkingConfig") or {})),
        **{ours: config[theirs] for theirs, ours in _CONFIG.items() if theirs in config},
    }
    if config.get("responseLogprobs"):
        chat |= {"logprobs": True, "top_logprobs": config.get("logprobs") or 0}
    return chat_form.without_nothing(chat)


def _camel(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with keys as JSON spells them; protobuf's own spelling is accepted by the provider too."""
    return {
        key if key.startswith("_") else _UNDERSCORE.sub(lambda found: found[1].upper(), key): item
        for key, item in value.items()
    }


def _system(body: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Instructions and turns.

    For models that it believes to know no system prompt, litellm sends it as the first text of the first message.
    """
    contents = list(body["contents"])
    if body.get("systemInstruction"):
        return list(body["systemInstruction"]["parts"]), contents
    first = contents[0]["parts"]
    if len(first) > 1 and all("text" in part for part in first[:2]):
        return first[:1], [{**contents[0], "parts": first[1:]}, *contents[1:]]
    return [], contents


class _Turns:
    """Turns as messages, with an id for every call: the provider's own ones, where there are some."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        """Name and id of calls that have no result yet."""
        self._count = 0

    def messages(self, given: Mapping[str, Any], place: str) -> Iterator[dict[str, Any]]:
        said, calls, thoughts = [], [], []
        for index, raw in enumerate(given["parts"]):
            part = _camel(raw)
            if "functionCall" in part:
                calls.append(self._call(part["functionCall"]))
            elif "functionResponse" in part:
                yield self._result(_camel(part["functionResponse"]), f"{place}.parts[{index}]")
            elif part.get("thought"):
                thoughts.append(str(part["text"]))
            else:
                said.append(_block(part, f"{place}.parts[{index}]"))
        if given.get("role") == "model":
            yield chat_form.assistant(said, calls, thoughts)
        elif said:
            yield {"role": "user", "content": chat_form.content(said)}

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self._count += 1
        call_id = str(call.get("id") or f"call_{self._count}")
        self._open.append((call["name"], call_id))
        return chat_form.call(call_id, call["name"], call.get("args"))

    def _result(self, result: Mapping[str, Any], place: str) -> dict[str, Any]:
        waiting = [call for call in self._open if call[0] == result["name"]]
        if result.get("id"):
            call_id = str(result["id"])
        elif waiting:
            call_id = waiting[0][1]
        else:
            raise refuse(place, f"no call of {result['name']!r} comes before its result")
        self._open = [call for call in self._open if call[1] != call_id]
        response = result.get("response") or {}
        if "error" in response:
            raise refuse(place, "an LM call has no place for a tool's failure")
        said = [] if not response else [chat_form.text(response.get("result", response.get("content", response)))]
        return chat_form.result(call_id, [*said, *(_block(part, place) for part in result.get("parts") or ())])


def _block(raw: Mapping[str, Any], place: str) -> dict[str, Any]:
    part = _camel(raw)
    if "text" in part:
        return chat_form.text(known(part, ("text", "thoughtSignature"), place)["text"])
    if "inlineData" in part:
        data = _camel(part["inlineData"])
        return chat_form.media(data["mimeType"], data["data"])
    if "fileData" in part and str(_camel(part["fileData"]).get("mimeType")).startswith("image/"):
        return chat_form.link(_camel(part["fileData"])["fileUri"])
    raise refuse(place, f"an LM call has no place for a part of {', '.join(part)}")


def _tools(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for index, tool in enumerate(body.get("tools") or ()):
        declared = _camel(tool)
        known(declared, ("functionDeclarations",), f"tools[{index}]")
        for function in map(_camel, declared.get("functionDeclarations") or ()):
            schema = function.get("parametersJsonSchema") or json_schema(function.get("parameters"))
            yield chat_form.tool(function["name"], function.get("description"), schema)


def json_schema(schema: Any) -> Any:
    """Gemini's own dialect, whose types are in capitals and whose properties are in an order, as JSON Schema."""
    if isinstance(schema, Mapping):
        return {
            key: value.lower() if key == "type" and isinstance(value, str) else json_schema(value)
            for key, value in schema.items()
            if key not in ("propertyOrdering", "property_ordering")
        }
    return [json_schema(item) for item in schema] if isinstance(schema, list) else schema


def _choice(config: Mapping[str, Any]) -> Any:
    calling = _camel(config.get("functionCallingConfig") or {})
    if not calling:
        return None
    allowed = calling.get("allowedFunctionNames") or ()
    if len(allowed) > 1 or calling.get("mode") == "VALIDATED":
        named = [{"type": "function", "function": {"name": name}} for name in allowed]
        mode = "auto" if calling.get("mode") == "VALIDATED" else "required"
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}
    return chat_form.chosen(_MODES.get(str(calling.get("mode")), "auto"), allowed[0] if allowed else None)


def _format(config: Mapping[str, Any]) -> dict[str, Any] | None:
    schema = config.get("responseJsonSchema") or config.get("_responseJsonSchema")
    if schema is None:
        schema = json_schema(config.get("responseSchema"))
    if schema is not None:
        return chat_form.schema_format(schema)
    return {"type": "json_object"} if config.get("responseMimeType") == "application/json" else None


def _effort(thinking: Mapping[str, Any]) -> str | None:
    if thinking.get("thinkingLevel"):
        return str(thinking["thinkingLevel"]).lower()
    if "thinkingBudget" not in thinking:
        return None
    # litellm asks to see the thoughts; DSPy's own client does so only where a program says so.
    budget, native = thinking["thinkingBudget"], not thinking.get("includeThoughts")
    return chat_form.effort(budget, "generationConfig.thinkingConfig.thinkingBudget", native=native)
