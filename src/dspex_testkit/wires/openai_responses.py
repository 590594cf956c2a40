"""OpenAI's Responses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from dspex_testkit.limits import brief
from dspex_testkit.wires.base import Wire, json_text, sse
from dspex_testkit.wires.conversation import (
    Conversation,
    choice_of,
    config_of,
    function_tool,
    how_many,
    model_of,
    object_of,
    objects,
    reasoning_of,
    schema_format,
    text_of,
    tool_call,
)
from dspex_testkit.wires.exchange import Answered, Ask, Choice, Pause, Piece, in_words
from dspex_testkit.wires.failures import Failure, refuse
from dspex_testkit.wires.logprobs import openai_logprob, tokens
from dspex_testkit.wires.openai_errors import MESSAGES, STATUSES, openai_error
from dspex_testkit.wires.response_events import Word, item_events

_LOGPROBS = "message.output_text.logprobs"


class OpenAIResponses(Wire):
    """`POST …/responses`."""

    provider = "openai"
    statuses = STATUSES
    messages = MESSAGES

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = model_of(body)
        conversation = Conversation()
        if body.get("instructions"):
            conversation.system(text_of(body["instructions"], "instructions"))
        given = body.get("input")
        if isinstance(given, str):
            conversation.user(given)
        else:
            for index, item in enumerate(objects(body, "input", required=True)):
                _read_item(item, conversation, f"input[{index}]")
        config = config_of(
            max_tokens=body.get("max_output_tokens"),
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            response_format=_text_format(object_of(body, "text").get("format")),
            tool_choice=_tool_choice(body.get("tool_choice")),
            reasoning=reasoning_of(object_of(body, "reasoning").get("effort")),
        )
        wants_logprobs = _LOGPROBS in (body.get("include") or ())
        return Ask(
            provider=self.provider,
            model=model,
            request=conversation.request(model, _tools(body), config, wanted="input"),
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


def _read_item(item: Mapping[str, Any], conversation: Conversation, where: str) -> None:
    kind = item.get("type", "message")
    if kind == "function_call":
        conversation.assistant("", [tool_call(item.get("call_id"), item.get("name"), item.get("arguments"))])
    elif kind == "function_call_output":
        conversation.tool_result(str(item.get("call_id") or "call"), text_of(item.get("output"), f"{where}.output"))
    elif kind == "message":
        role, text = item.get("role"), text_of(item.get("content"), f"{where}.content")
        if role in ("system", "developer"):
            conversation.system(text)
        elif role == "assistant":
            conversation.assistant(text, [])
        elif role == "user":
            conversation.user(text)
        else:
            raise refuse("invalid_request", f"{where}.role: user, assistant, system or developer, not {brief(role)}.")
    elif kind != "reasoning":
        raise refuse("invalid_request", f"{where}.type: {brief(kind)} is not simulated.")


def _tools(body: Mapping[str, Any]) -> tuple[Any, ...]:
    functions = [tool for tool in objects(body, "tools") if tool.get("type") == "function"]
    return tuple(function_tool(f.get("name"), f.get("description"), f.get("parameters")) for f in functions)


def _tool_choice(given: Any) -> Any:
    if given is None:
        return None
    return choice_of("required", given.get("name")) if isinstance(given, Mapping) else choice_of(str(given))


def _text_format(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, Mapping) or given.get("type") in (None, "text"):
        return None
    if given.get("type") == "json_object":
        return {"type": "json_object"}
    return schema_format(given.get("schema"), given.get("name"))


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
