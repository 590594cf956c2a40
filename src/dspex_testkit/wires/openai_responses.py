"""OpenAI's Responses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from dspex_testkit.limits import brief
from dspex_testkit.wires import chat_form
from dspex_testkit.wires.base import Wire, json_text, sse
from dspex_testkit.wires.canonical import request_of
from dspex_testkit.wires.chat_form import Chat, Residue
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause, Piece, in_words
from dspex_testkit.wires.failures import Failure, refuse
from dspex_testkit.wires.fields import how_many, model_of, object_of, objects
from dspex_testkit.wires.logprobs import openai_logprob, tokens
from dspex_testkit.wires.openai_errors import MESSAGES, STATUSES, openai_error
from dspex_testkit.wires.response_events import Word, item_events

_PASSED_ON = ("temperature", "top_p", "top_k", "seed", "stop", "verbosity", "parallel_tool_calls")
_UNDERSTOOD = frozenset(
    {"model", "input", "instructions", "stream", "store", "user", "metadata", "safety_identifier", "include"}
    | {"service_tier", "prompt_cache_key", "tools", "tool_choice", "text", "reasoning", "max_output_tokens"}
    | {"top_logprobs", "truncation", "background"}
)
_LOGPROBS = "message.output_text.logprobs"


class OpenAIResponses(Wire):
    """`POST …/responses`."""

    provider = "openai"
    statuses = STATUSES
    messages = MESSAGES

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = model_of(body)
        wants_logprobs = _LOGPROBS in (body.get("include") or ())
        return Ask(
            provider=self.provider,
            model=model,
            request=request_of(read_responses(body), model, wanted="input"),
            stream=body.get("stream") is True,
            top_logprobs=how_many(body, "top_logprobs") if wants_logprobs else None,
            options={"body": body},
        )

    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        return _response(ask, answered, _items(ask, answered), _status(answered))

    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""
        numbers = count()
        for event in _events(ask, answered):
            yield event if isinstance(event, Pause) else sse({**event, "sequence_number": next(numbers)}, event["type"])

    def error(self, failure: Failure, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        return openai_error(failure, status)


def read_responses(body: Mapping[str, Any]) -> Chat:
    """What a body says.

    Raises:
        Refused: It cannot be understood.
    """
    residue = Residue()
    residue.unknown(body, {*_PASSED_ON, *_UNDERSTOOD}, "body")
    written = object_of(body, "text")
    messages = list(_messages(body, residue))
    parameters = {
        "max_tokens": body.get("max_output_tokens"),
        "tools": list(_tools(body, residue)),
        "tool_choice": _tool_choice(body.get("tool_choice"), residue),
        "response_format": _text_format(object_of(written, "format")),
        "verbosity": written.get("verbosity"),
        "reasoning_effort": object_of(body, "reasoning").get("effort"),
        **{name: body[name] for name in _PASSED_ON if name in body},
    }
    if _LOGPROBS in (body.get("include") or ()):
        parameters |= {"logprobs": True, "top_logprobs": body.get("top_logprobs") or 0}
    return Chat({"messages": messages, **chat_form.without_nothing(parameters)}, residue)


def _messages(body: Mapping[str, Any], residue: Residue) -> Iterator[dict[str, Any]]:
    """Items as messages: what a model said and called in one turn are several items and one message."""
    if body.get("instructions"):
        blocks = chat_form.blocks_of(body["instructions"], "instructions", residue, _block)
        yield {"role": "system", "content": chat_form.content(blocks)}
    if isinstance(body.get("input"), str):
        yield {"role": "user", "content": body["input"]}
        return
    turn: dict[str, Any] | None = None
    for index, item in enumerate(objects(body, "input", required=True)):
        message = _message(item, f"input[{index}]", residue)
        if message is None:
            continue
        if turn is not None and message["role"] == "assistant" and message["content"] is None:
            turn = {**turn, "tool_calls": [*turn.get("tool_calls", ()), *message["tool_calls"]]}
            continue
        if turn is not None:
            yield turn
        turn = message if message["role"] == "assistant" else None
        if turn is None:
            yield message
    if turn is not None:
        yield turn


def _message(item: Mapping[str, Any], place: str, residue: Residue) -> dict[str, Any] | None:
    kind = item.get("type", "message")
    if kind == "function_call":
        call_id = residue.wanted(item, "call_id", place, f"call_{item.get('name')}")
        return chat_form.assistant([], [chat_form.call(call_id, item.get("name"), item.get("arguments"))])
    if kind == "function_call_output":
        returned = chat_form.blocks_of(item.get("output"), f"{place}.output", residue, _block)
        return chat_form.result(residue.wanted(item, "call_id", place, "call"), returned)
    if kind == "reasoning":
        residue.leave(place, "an LM call has no place for an item of type 'reasoning'")
        return None
    if kind != "message":
        raise refuse("invalid_request", f"{place}: an LM call has no place for an item of type {brief(kind)}.")
    residue.unknown(item, ("type", "role", "content", "id", "status"), place)
    blocks, role = chat_form.blocks_of(item.get("content"), f"{place}.content", residue, _block), item.get("role")
    if role == "assistant":
        return chat_form.assistant(blocks)
    if role not in ("user", "system", "developer"):
        raise refuse("invalid_request", f"{place}.role: user, assistant, system or developer, not {brief(role)}.")
    return {"role": role, "content": chat_form.content(blocks)}


def _block(block: Mapping[str, Any], place: str, residue: Residue) -> dict[str, Any]:
    match block.get("type", "text"):
        case "input_text" | "output_text" | "text":
            return chat_form.text(block.get("text"))
        case "refusal":
            return {"type": "refusal", "refusal": block.get("refusal")}
        case "input_image" if block.get("image_url"):
            return chat_form.link(block["image_url"], block.get("detail"))
        case "input_file" if block.get("file_data"):
            return {"type": "file", "file": {"file_data": block["file_data"]}}
        case "input_file" if block.get("file_id"):
            return {"type": "file", "file": {"file_id": block["file_id"]}}
        case "input_audio" if block.get("audio"):
            return {"type": "input_audio", "input_audio": {"data": block["audio"], "format": block.get("format")}}
    residue.leave(place, f"an LM call has no place for a block of type {brief(block.get('type'))}")
    return dict(block)


def _tools(body: Mapping[str, Any], residue: Residue) -> Iterator[dict[str, Any]]:
    for index, tool in enumerate(objects(body, "tools")):
        if tool.get("type") == "function":
            yield chat_form.tool(tool.get("name"), tool.get("description"), tool.get("parameters"))
        else:
            what = f"a tool of type {brief(tool.get('type'))} runs at the provider; only functions are asked for"
            residue.leave(f"tools[{index}]", what)


def _tool_choice(given: Any, residue: Residue) -> Any:
    if not isinstance(given, Mapping):
        return given
    if given.get("type") == "function":
        return chat_form.chosen(given.get("name"))
    if given.get("type") == "allowed_tools":
        return chat_form.allowed(given.get("mode"), [tool.get("name") for tool in objects(given, "tools")])
    residue.leave("tool_choice", f"an LM call cannot choose {brief(given.get('type'))}")
    return None


def _text_format(given: Mapping[str, Any]) -> dict[str, Any] | None:
    if given.get("type") in (None, "text"):
        return None
    if given.get("type") == "json_object":
        return {"type": "json_object"}
    return chat_form.schema_format(given.get("schema"), given.get("name"), given.get("strict"))


def _status(answered: Answered) -> str:
    return "incomplete" if answered.choices[0].finish in ("length", "content_filter") else "completed"


def _items(ask: Ask, answered: Answered) -> list[dict[str, Any]]:
    choice = answered.choices[0]
    items: list[dict[str, Any]] = []
    if choice.reasoning is not None:
        summary = [{"type": "summary_text", "text": choice.reasoning}]
        items.append({"type": "reasoning", "id": answered.id("rs_"), "summary": summary})
    if choice.text or choice.refusal is not None or not choice.tool_calls:
        items.append(
            {
                "type": "message",
                "id": answered.id("msg_"),
                "status": "completed",
                "role": "assistant",
                "content": [_content(ask, choice)],
            }
        )
    for index, call in enumerate(choice.tool_calls):
        items.append(
            {
                "type": "function_call",
                "id": answered.id(f"fc_{index}_"),
                "call_id": call.id,
                "name": call.name,
                "arguments": json_text(call.arguments),
                "status": "completed",
            }
        )
    return items


def _content(ask: Ask, choice: Choice) -> dict[str, Any]:
    if choice.refusal is not None:
        return {"type": "refusal", "refusal": choice.refusal}
    logprobs = [] if ask.top_logprobs is None else _logprobs(ask, choice)
    return {"type": "output_text", "text": choice.text, "annotations": [], "logprobs": logprobs}


def _logprobs(ask: Ask, said: Choice | Piece) -> list[dict[str, Any]]:
    return [openai_logprob(token) for token in tokens(said, ask.top_logprobs or 0)]


def _response(ask: Ask, answered: Answered, items: list[dict[str, Any]], status: str) -> dict[str, Any]:
    body = ask.options["body"]
    reason = {"length": "max_output_tokens"}.get(answered.choices[0].finish, answered.choices[0].finish)
    started = status == "in_progress"
    return {
        "id": answered.id("resp_"),
        "object": "response",
        "created_at": answered.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": ask.model,
        "output": items,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": [{"strict": False, **tool} for tool in body.get("tools") or ()],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None if started else _usage(answered),
        "user": body.get("user"),
    }


def _usage(answered: Answered) -> dict[str, Any]:
    return {
        "input_tokens": answered.input_tokens,
        "input_tokens_details": {"cached_tokens": answered.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": answered.output_tokens,
        "output_tokens_details": {"reasoning_tokens": answered.reasoning_tokens},
        "total_tokens": answered.input_tokens + answered.output_tokens,
    }


def _events(ask: Ask, answered: Answered) -> Iterator[dict[str, Any] | Pause]:
    opened = _response(ask, answered, [], "in_progress")
    yield {"type": "response.created", "response": opened}
    yield {"type": "response.in_progress", "response": opened}
    items = _items(ask, answered)
    for index, item in enumerate(items):
        yield from item_events(item, index, _words(item, ask, answered))
    status = _status(answered)
    yield {"type": f"response.{status}", "response": _response(ask, answered, items, status)}


def _words(item: Mapping[str, Any], ask: Ask, answered: Answered) -> Sequence[Word]:
    """The pieces in which an item is streamed, those of a text with their log probabilities."""
    choice = answered.choices[0]
    if item["type"] == "reasoning":
        return [(word, []) for word in choice.thoughts]
    if item["type"] == "message":
        return [(word, [] if ask.top_logprobs is None else _logprobs(ask, word)) for word in choice.words]
    before = next(call.before for call in choice.tool_calls if call.id == item["call_id"])
    first, *rest = in_words(item["arguments"])
    return [(word, []) for word in (replace(first, before=before), *rest)]
