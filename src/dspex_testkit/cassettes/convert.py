"""LM cassettes made of plain vcrpy cassettes: recorded traffic of OpenAI, Anthropic and Gemini, whoever recorded it.

Responses are read by DSPy's own dialects. Requests are brought into OpenAI's chat form, which DSPy reads.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dspy.lm15 import (
    AnthropicLM,
    GeminiLM,
    LM15Error,
    OpenAIChatLM,
    Request,
    Response,
    StreamStartEvent,
    materialize_response,
    request_from_openai_chat,
)

from dspex_testkit.cassettes.document import Document, RecordedLM, level_of, read_record
from dspex_testkit.cassettes.dspy_wire import (
    HttpResponse,
    SSEEvent,
    request_to_dict,
    response_to_dict,
    stream_event_to_dict,
)
from dspex_testkit.cassettes.errors_wire import error_to_dict
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.redaction import Redactor
from dspex_testkit.errors import CassetteFormatError


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a file."""

    document: Document
    skipped: tuple[str, ...]
    """What was left out, and why; one line each."""


def convert(path: Path, redactor: Redactor | None = None) -> Conversion:
    """Read a vcrpy cassette of HTTP traffic as LM calls.

    Raises:
        CassetteFormatError: It is no cassette of HTTP traffic, or has no call that can be read.
    """
    record = read_record(path)
    if level_of(record) == "lm":
        raise CassetteFormatError(f"{path} holds LM calls already", details={"path": str(path)})
    clean = redactor or Redactor()
    interactions: list[Interaction] = []
    skipped: list[str] = []
    for position, item in enumerate(record["interactions"]):
        try:
            interactions.append(_interaction(item, clean))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, LM15Error) as error:
            skipped.append(f"interactions[{position}]: {error}")
    if not interactions:
        reasons = "; ".join(skipped) or "it is empty"
        raise CassetteFormatError(
            f"{path} has no call of OpenAI, Anthropic or Gemini that can be read: {reasons}",
            details={"path": str(path), "skipped": skipped},
        )
    models = dict.fromkeys(interaction.model for interaction in interactions)
    return Conversion(Document(tuple(interactions), tuple(_lm(model) for model in models)), tuple(skipped))


def _lm(model: str) -> RecordedLM:
    """The LM as DSPy would believe it to be; the traffic does not tell."""
    import dspy

    from dspex_testkit.cassettes.lm import describe

    return describe(dspy.LM(model, cache=False))


def _interaction(item: dict[str, Any], clean: Redactor) -> Interaction:
    asked, answered = item["request"], item["response"]
    path = urlsplit(asked["uri"]).path
    wire = next((wire for wire in _WIRES if wire.matches(path)), None)
    if wire is None:
        raise ValueError(f"{path} is no path of a provider that is known here")
    body = json.loads(_text(asked["body"]))
    chat = wire.chat(body, path)
    request = request_from_openai_chat({key: value for key, value in chat.items() if value is not None})
    bare = replace(request, model=request.model.partition("/")[2])
    base = Interaction(request=clean.json(request_to_dict(request)))
    status = int(answered["status"]["code"])
    text = _text(answered["body"]["string"])
    dialect = wire.dialect()
    reply = HttpResponse(status=status, reason=answered["status"].get("message") or "", headers=[], body=text.encode())
    if status >= 400:
        error = dialect.normalize_error(status, text)
        return replace(base, error=clean.json(error_to_dict(error)))
    if text.lstrip().startswith(("data:", "event:")):
        response, chunks = _stream(dialect, bare, text)
        return replace(base, response=clean.json(_kept(response)), chunks=tuple(clean.json(chunks)))
    return replace(base, response=clean.json(_kept(dialect.parse_response(bare, reply))))


def _kept(response: Response) -> dict[str, Any]:
    record: dict[str, Any] = response_to_dict(response)
    record.pop("id", None)
    return record


def _stream(dialect: Any, request: Request, text: str) -> tuple[Response, list[dict[str, Any]]]:
    events: list[Any] = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = block.split("\n")
        name = next((line[6:].strip() for line in lines if line.startswith("event:")), None)
        data = "\n".join(line[5:].strip() for line in lines if line.startswith("data:"))
        if data:
            events += dialect.parse_stream_events(request, SSEEvent(event=name, data=data))
    # Some dialects leave the start to the client, which knows the model from the first piece.
    started = [event for event in events if event.type == "start"][:1] or [StreamStartEvent(model=request.model)]
    ended = [event for event in events if event.type == "end"][-1:]
    ordered = [*started, *(event for event in events if event.type not in ("start", "end")), *ended]
    response = materialize_response(iter(ordered), request)
    chunks = []
    for event in ordered:
        record = stream_event_to_dict(event)
        record.pop("id", None)
        record.pop("provider_data", None)
        chunks.append({"at_ms": 0.0, "event": record})
    return response, chunks


def _text(body: Any) -> str:
    if isinstance(body, bytes):
        return body.decode()
    if not isinstance(body, str):
        raise TypeError("it has no body")
    return body


@dataclass(frozen=True, slots=True)
class _Wire:
    matches: Callable[[str], bool]
    chat: Callable[[dict[str, Any], str], dict[str, Any]]
    """The request's body in OpenAI's chat form, the model with DSPy's prefix."""
    dialect: Callable[[], Any]


def _from_openai(body: dict[str, Any], path: str) -> dict[str, Any]:
    left_out = ("stream", "stream_options", "n", "user", "metadata", "safety_identifier")
    return {**{key: value for key, value in body.items() if key not in left_out}, "model": f"openai/{body['model']}"}


def _from_anthropic(body: dict[str, Any], path: str) -> dict[str, Any]:
    messages = [{"role": message["role"], "content": _plain(message["content"])} for message in body["messages"]]
    if body.get("system"):
        messages.insert(0, {"role": "system", "content": _plain(body["system"])})
    tools = [
        {"type": "function", "function": {**_only(tool, "name", "description"), "parameters": tool["input_schema"]}}
        for tool in body.get("tools", ())
    ]
    # The provider insists on max_tokens, so clients send the model's limit where nobody asked for one.
    return {
        "model": f"anthropic/{body['model']}",
        "messages": messages,
        "temperature": body.get("temperature"),
        "top_p": body.get("top_p"),
        "stop": body.get("stop_sequences"),
        "max_tokens": body.get("max_tokens") if body.get("max_tokens", 0) < 32_000 else None,
        "tools": tools or None,
    }


def _from_gemini(body: dict[str, Any], path: str) -> dict[str, Any]:
    model = path.rpartition("/")[2].partition(":")[0]
    config = body.get("generationConfig") or body.get("generation_config") or {}
    system = body.get("systemInstruction") or body.get("system_instruction")
    contents = list(body["contents"])
    first = contents[0]["parts"]
    if not system and len(first) > 1:
        # For models that it believes to know no system prompt, litellm sends it as the first part of the first message.
        system, contents[0] = {"parts": first[:1]}, {**contents[0], "parts": first[1:]}
    roles = {"model": "assistant"}
    messages = [
        {"role": roles.get(content.get("role", "user"), "user"), "content": _plain(content["parts"])}
        for content in contents
    ]
    if system:
        messages.insert(0, {"role": "system", "content": _plain(system["parts"])})
    return {
        "model": f"gemini/{model}",
        "messages": messages,
        "temperature": config.get("temperature"),
        "top_p": config.get("topP"),
        "max_tokens": config.get("maxOutputTokens"),
        "stop": config.get("stopSequences"),
    }


def _plain(content: Any) -> str:
    """The text of a message.

    Raises:
        ValueError: It holds something else, such as an image or a tool's result.
    """
    if isinstance(content, str):
        return content
    if not all(set(part) <= {"type", "text", "cache_control"} and "text" in part for part in content):
        raise ValueError("a message holds more than text; record it again at the LM level")
    return "".join(str(part["text"]) for part in content)


def _only(mapping: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}


_WIRES = (
    _Wire(
        lambda path: path.endswith("/chat/completions"),
        _from_openai,
        lambda: OpenAIChatLM(api_key="reading-only", transport=None),
    ),
    _Wire(
        lambda path: path.endswith("/messages"),
        _from_anthropic,
        lambda: AnthropicLM(api_key="reading-only", transport=None),
    ),
    _Wire(
        lambda path: "enerateContent" in path,
        _from_gemini,
        lambda: GeminiLM(api_key="reading-only", transport=None),
    ),
)
