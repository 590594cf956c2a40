"""Gemini's generateContent and streamGenerateContent, whichever version stands in the path."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dspex_testkit.wires import chat_form
from dspex_testkit.wires.base import Wire, sse
from dspex_testkit.wires.canonical import request_of
from dspex_testkit.wires.chat_form import Chat, Residue, Thinking
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause, Piece, in_words
from dspex_testkit.wires.failures import Failure
from dspex_testkit.wires.fields import how_many, object_of, objects, whole_number
from dspex_testkit.wires.logprobs import tokens

_UNDERSCORE = re.compile(r"(?<=\w)_(\w)")
_UNDERSTOOD = frozenset(
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
_CONFIG_APART = frozenset(
    {"candidateCount", "responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema"}
    | {"thinkingConfig", "responseLogprobs", "logprobs"}
)
_MODES = {"ANY": "required", "NONE": "none", "AUTO": "auto"}
_WRAPPINGS = frozenset({"result", "content", "output", "error"})
"""Under which a tool's result stands that is no object itself: as DSPy, litellm and Google's own clients have it."""
_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_call": "STOP", "content_filter": "SAFETY", "error": "OTHER"}
_STATUS_NAMES = {
    "auth": "UNAUTHENTICATED",
    "billing": "FAILED_PRECONDITION",
    "permission": "PERMISSION_DENIED",
    "not_found": "NOT_FOUND",
    "rate_limit": "RESOURCE_EXHAUSTED",
    "server_error": "INTERNAL",
    "overloaded": "UNAVAILABLE",
    "unavailable": "UNAVAILABLE",
    "timeout": "DEADLINE_EXCEEDED",
}


class Gemini(Wire):
    """`POST …/models/MODEL:generateContent` and `:streamGenerateContent`."""

    provider = "google"
    statuses = MappingProxyType({"billing": 400})
    messages = MappingProxyType(
        {
            "context_length": "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
            "not_found": "models/{model} is not found for API version v1beta, or is not supported for generateContent.",
            "auth": "API key not valid. Please pass a valid API key.",
        }
    )

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        generation = _camel(object_of(_camel(body), "generationConfig"))
        return Ask(
            provider=self.provider,
            model=path["model"],
            request=request_of(read_gemini(body), path["model"], wanted="contents"),
            stream=path["action"] == "streamGenerateContent",
            n=whole_number(generation, "candidateCount", 1, most=8),
            top_logprobs=how_many(generation, "logprobs") if generation.get("responseLogprobs") else None,
        )

    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        candidates = [
            _candidate(ask, index, _parts(choice), choice.finish, choice)
            for index, choice in enumerate(answered.choices)
        ]
        return _response(ask, answered, candidates)

    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""
        for index, choice in enumerate(answered.choices):
            chunks = list(_chunks(choice)) or [_Chunk([{"text": ""}])]
            for chunk in chunks:
                yield from chunk.before
                finish = choice.finish if chunk is chunks[-1] else None
                yield sse(_response(ask, answered, [_candidate(ask, index, chunk.parts, finish, chunk.said)]))

    def error(self, failure: Failure, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        name = _STATUS_NAMES.get(failure.kind, "INVALID_ARGUMENT")
        message = failure.message if failure.code is None else f"{failure.message} [{failure.code}]"
        error: dict[str, Any] = {"code": status, "message": message, "status": name}
        if failure.retry_after is not None:
            info = "type.googleapis.com/google.rpc.RetryInfo"
            error["details"] = [{"@type": info, "retryDelay": f"{failure.retry_after:g}s"}]
        return {"error": error}


def read_gemini(body: Mapping[str, Any]) -> Chat:
    """What a body says.

    Raises:
        Refused: It cannot be understood.
    """
    residue, body = Residue(), _camel(body)
    residue.unknown(body, _UNDERSTOOD, "body")
    config = _camel(object_of(body, "generationConfig"))
    residue.unknown(config, {*_CONFIG, *_CONFIG_APART}, "generationConfig")
    turns = _Turns(residue)
    contents = objects(body, "contents", required=True)
    messages = [message for i, given in enumerate(contents) for message in turns.messages(given, f"contents[{i}]")]
    system = objects(object_of(body, "systemInstruction"), "parts")
    if system:
        blocks = [_block(_camel(part), f"systemInstruction.parts[{i}]", residue) for i, part in enumerate(system)]
        messages.insert(0, {"role": "system", "content": chat_form.content(blocks)})
    thinking = _camel(object_of(config, "thinkingConfig"))
    level = thinking.get("thinkingLevel")
    parameters = {
        "tools": list(_tools(body, residue)),
        "tool_choice": _tool_choice(_camel(object_of(body, "toolConfig")), residue),
        "response_format": _response_format(config),
        "reasoning_effort": str(level).lower() if level else None,
        **{ours: config[theirs] for theirs, ours in _CONFIG.items() if theirs in config},
    }
    if config.get("responseLogprobs"):
        parameters |= {"logprobs": True, "top_logprobs": config.get("logprobs") or 0}
    said = Thinking(thinking.get("thinkingBudget"), thinking.get("includeThoughts") is True)
    return Chat({"messages": messages, **chat_form.without_nothing(parameters)}, residue, said)


def _camel(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object with keys as JSON spells them; protobuf's own spelling is accepted too."""
    return {_UNDERSCORE.sub(lambda found: found[1].upper(), key): value for key, value in body.items()}


class _Turns:
    """Turns as messages, with an id for every call: the provider's own ones, where there are some."""

    def __init__(self, residue: Residue) -> None:
        self._residue = residue
        self._open: list[tuple[str, str]] = []
        """Name and id of calls that have no result yet."""
        self._count = 0

    def messages(self, given: Mapping[str, Any], place: str) -> Iterator[dict[str, Any]]:
        """The messages of a turn: results of tools travel among what the user says, and are messages of their own."""
        said, calls, thoughts, results = [], [], [], []
        for index, raw in enumerate(objects(given, "parts")):
            part, where = _camel(raw), f"{place}.parts[{index}]"
            if "functionCall" in part:
                calls.append(self._call(object_of(part, "functionCall")))
            elif "functionResponse" in part:
                results.append(self._result(_camel(object_of(part, "functionResponse")), where))
            elif part.get("thought"):
                thoughts.append(str(part.get("text") or ""))
            else:
                said.append(_block(part, where, self._residue))
        yield from results
        if given.get("role") == "model":
            yield chat_form.assistant(said, calls, thoughts)
        elif said or not results:
            yield {"role": "user", "content": chat_form.content(said)}

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self._count += 1
        call_id = str(call.get("id") or f"call_{self._count}")
        self._open.append((str(call.get("name")), call_id))
        return chat_form.call(call_id, call.get("name"), call.get("args"))

    def _result(self, result: Mapping[str, Any], place: str) -> dict[str, Any]:
        name = str(result.get("name"))
        call_id = result.get("id") or next((known for called, known in self._open if called == name), None)
        if call_id is None:
            self._residue.leave(place, f"no call of {name!r} comes before its result")
            call_id = f"call_{name}"
        self._open = [call for call in self._open if call[1] != call_id]
        response = object_of(result, "response")
        if "error" in response:
            self._residue.leave(place, "an LM call has no place for a tool's failure")
        parts = [_block(_camel(part), place, self._residue) for part in objects(result, "parts")]
        return chat_form.result(call_id, [*_returned(response), *parts])


def _returned(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a tool returned; clients wrap a text in an object with a key of their own."""
    key, value = next(iter(response.items())) if len(response) == 1 else ("", None)
    if key in _WRAPPINGS and isinstance(value, str):
        yield chat_form.text(value)
    elif response:
        yield chat_form.text(json.dumps(value if key in _WRAPPINGS else response, ensure_ascii=False))


def _block(part: Mapping[str, Any], place: str, residue: Residue) -> dict[str, Any]:
    if "text" in part:
        residue.unknown(part, ("text", "thoughtSignature"), place)
        return chat_form.text(part["text"])
    data, file = _camel(object_of(part, "inlineData")), _camel(object_of(part, "fileData"))
    if "mimeType" in data:
        return chat_form.media(str(data["mimeType"]), str(data.get("data") or ""))
    if str(file.get("mimeType")).startswith("image/") and "fileUri" in file:
        return chat_form.link(str(file["fileUri"]))
    residue.leave(place, f"an LM call has no place for a part of {', '.join(part)}")
    return {**part, "type": ", ".join(part)}


def _tools(body: Mapping[str, Any], residue: Residue) -> Iterator[dict[str, Any]]:
    for index, tool in enumerate(map(_camel, objects(body, "tools"))):
        residue.unknown(tool, ("functionDeclarations",), f"tools[{index}]")
        for function in map(_camel, objects(tool, "functionDeclarations")):
            schema = function.get("parametersJsonSchema") or _json_schema(function.get("parameters"))
            yield chat_form.tool(function.get("name"), function.get("description"), schema)


def _json_schema(schema: Any) -> Any:
    """Gemini's own dialect, whose types are in capitals and whose properties are in an order, as JSON Schema."""
    if isinstance(schema, Mapping):
        return {
            key: value.lower() if key == "type" and isinstance(value, str) else _json_schema(value)
            for key, value in schema.items()
            if key not in ("propertyOrdering", "property_ordering")
        }
    return [_json_schema(item) for item in schema] if isinstance(schema, list) else schema


def _tool_choice(config: Mapping[str, Any], residue: Residue) -> Any:
    calling = _camel(object_of(config, "functionCallingConfig"))
    if not calling:
        return None
    mode = _MODES.get(str(calling.get("mode")), "auto")
    names = calling.get("allowedFunctionNames") or ()
    if calling.get("mode") == "VALIDATED" and not names:
        residue.leave("toolConfig.functionCallingConfig.mode", "an LM call cannot ask for calls that are checked")
    if not names:
        return mode
    return chat_form.chosen(names[0]) if mode == "required" and len(names) == 1 else chat_form.allowed(mode, names)


def _response_format(config: Mapping[str, Any]) -> dict[str, Any] | None:
    schema = config.get("responseJsonSchema") or config.get("_responseJsonSchema")
    if schema is None:
        schema = _json_schema(config.get("responseSchema"))
    if schema is not None:
        return chat_form.schema_format(schema)
    return {"type": "json_object"} if config.get("responseMimeType") == "application/json" else None


def _response(ask: Ask, answered: Answered, candidates: list[dict[str, Any]]) -> dict[str, Any]:
    spoken = answered.output_tokens - answered.reasoning_tokens
    usage = {
        "promptTokenCount": answered.input_tokens,
        "candidatesTokenCount": spoken,
        "totalTokenCount": answered.input_tokens + answered.output_tokens,
    }
    if answered.reasoning_tokens:
        usage["thoughtsTokenCount"] = answered.reasoning_tokens
    if answered.cached_tokens:
        usage["cachedContentTokenCount"] = answered.cached_tokens
    return {
        "candidates": candidates,
        "usageMetadata": usage,
        "modelVersion": ask.model,
        "responseId": answered.id(""),
    }


def _candidate(
    ask: Ask, index: int, parts: list[dict[str, Any]], finish: str | None, said: Choice | Piece | None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": index}
    if finish is not None:
        candidate["finishReason"] = _FINISH[finish]
    if ask.top_logprobs is not None and said is not None and said.text:
        made = list(tokens(said, ask.top_logprobs))
        candidate["avgLogprobs"] = sum(token.logprob for token in made) / len(made)
        candidate["logprobsResult"] = {
            "chosenCandidates": [{"token": token.text, "logProbability": token.logprob} for token in made],
            "topCandidates": [
                {"candidates": [{"token": text, "logProbability": logprob} for text, logprob in token.top]}
                for token in made
            ],
        }
    return candidate


def _parts(choice: Choice) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if choice.reasoning is not None:
        parts.append({"text": choice.reasoning, "thought": True})
    text = choice.refusal if choice.refusal is not None else choice.text
    if text or not choice.tool_calls:
        parts.append({"text": text})
    return parts + [_call(call) for call in choice.tool_calls]


def _call(call: Any) -> dict[str, Any]:
    return {"functionCall": {"id": call.id, "name": call.name, "args": dict(call.arguments)}}


@dataclass(frozen=True, slots=True)
class _Chunk:
    parts: list[dict[str, Any]]
    said: Piece | None = None
    """What of it is answer, and so has log probabilities."""
    before: tuple[Pause, ...] = ()


def _chunks(choice: Choice) -> Iterator[_Chunk]:
    for word in choice.thoughts:
        yield _Chunk([{"text": word.text, "thought": True}], before=word.before)
    for word in choice.words if choice.refusal is None else in_words(choice.refusal):
        yield _Chunk([{"text": word.text}], word, word.before)
    # Gemini sends a call whole, and all calls of a turn at once.
    if choice.tool_calls:
        yield _Chunk([_call(call) for call in choice.tool_calls], before=choice.tool_calls[0].before)
