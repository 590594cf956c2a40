"""Gemini's generateContent and streamGenerateContent, whichever version stands in the path."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dspy.lm15 import Reasoning

from dspex_testkit.wires.base import Wire, json_text, sse
from dspex_testkit.wires.conversation import (
    Conversation,
    choice_of,
    config_of,
    function_tool,
    how_many,
    object_of,
    objects,
    schema_format,
    tool_call,
    whole_number,
)
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause, Piece, in_words
from dspex_testkit.wires.failures import Failure
from dspex_testkit.wires.logprobs import tokens
from dspex_testkit.wires.media import media_mark

_UNDERSCORE = re.compile(r"(?<=\w)_(\w)")
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
        body = _camel_keys(body)
        model = path["model"]
        conversation = Conversation()
        system = body.get("systemInstruction")
        if system:
            conversation.system(_text(objects(system, "parts")))
        for content in objects(body, "contents", required=True):
            _read_content(content, conversation)
        generation = _camel_keys(object_of(body, "generationConfig"))
        config = config_of(
            max_tokens=generation.get("maxOutputTokens"),
            temperature=generation.get("temperature"),
            top_p=generation.get("topP"),
            top_k=generation.get("topK"),
            seed=generation.get("seed"),
            stop=generation.get("stopSequences"),
            response_format=_response_format(generation),
            tool_choice=_tool_choice(_camel_keys(object_of(body, "toolConfig"))),
            reasoning=_thinking(_camel_keys(object_of(generation, "thinkingConfig"))),
        )
        return Ask(
            provider=self.provider,
            model=model,
            request=conversation.request(model, tuple(_tools(body)), config, wanted="contents"),
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


def _camel_keys(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with keys as JSON spells them; protobuf's own spelling is accepted too."""
    return {_UNDERSCORE.sub(lambda found: found[1].upper(), key): value for key, value in body.items()}


def _text(parts: Sequence[Mapping[str, Any]]) -> str:
    said = [_said(part) for part in parts if not part.get("thought")]
    return "\n".join(text for text in said if text is not None)


def _said(part: Mapping[str, Any]) -> str | None:
    if "inlineData" in part or "fileData" in part:
        return media_mark("media", part)
    return str(part["text"]) if "text" in part else None


def _read_content(content: Mapping[str, Any], conversation: Conversation) -> None:
    parts = [_camel_keys(part) for part in objects(content, "parts")]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    text = _text(parts)
    if content.get("role") == "model":
        conversation.assistant(text, [tool_call(call.get("id"), call.get("name"), call.get("args")) for call in calls])
        return
    for result in results:
        call_id = str(result.get("id") or f"call_{result.get('name')}")
        conversation.tool_result(call_id, _returned(result.get("response")))
    if text or not results:
        conversation.user(text)


def _returned(response: Any) -> str:
    """What a tool returned; clients wrap a text in an object with a key of their own."""
    values = list(response.values()) if isinstance(response, Mapping) else [response]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else json_text(response)


def _tools(body: Mapping[str, Any]) -> Iterator[Any]:
    for tool in objects(body, "tools"):
        for declared in map(_camel_keys, _camel_keys(tool).get("functionDeclarations") or ()):
            schema = declared.get("parametersJsonSchema") or _json_schema(declared.get("parameters"))
            yield function_tool(declared.get("name"), declared.get("description"), schema)


def _json_schema(schema: Any) -> Any:
    """Gemini's own dialect, whose types are in capitals, as JSON Schema."""
    if isinstance(schema, Mapping):
        return {
            key: value.lower() if key == "type" and isinstance(value, str) else _json_schema(value)
            for key, value in schema.items()
        }
    return [_json_schema(item) for item in schema] if isinstance(schema, list) else schema


def _response_format(generation: Mapping[str, Any]) -> dict[str, Any] | None:
    schema = generation.get("responseJsonSchema") or generation.get("_responseJsonSchema")
    if schema is None:
        schema = _json_schema(generation.get("responseSchema"))
    if schema is not None:
        return schema_format(schema)
    return {"type": "json_object"} if generation.get("responseMimeType") == "application/json" else None


def _tool_choice(config: Mapping[str, Any]) -> Any:
    calling = _camel_keys(object_of(config, "functionCallingConfig"))
    if not calling:
        return None
    allowed = calling.get("allowedFunctionNames") or ()
    mode = {"ANY": "required", "NONE": "none"}.get(calling.get("mode", ""), "auto")
    return choice_of(mode, allowed[0] if mode == "required" and allowed else None)


def _thinking(thinking: Mapping[str, Any]) -> Reasoning | None:
    if thinking.get("thinkingBudget") == 0:
        return Reasoning("off")
    return Reasoning("medium") if thinking.get("includeThoughts") else None


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
