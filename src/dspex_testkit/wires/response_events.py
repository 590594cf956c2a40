"""The events that announce, fill and close one item of a streamed OpenAI response."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dspex_testkit.wires.exchange import Pause, Piece

Event = dict[str, Any] | Pause
Word = tuple[Piece, list[Any]]
"""A piece of an item with its log probabilities."""


def item_events(item: Mapping[str, Any], index: int, words: Sequence[Word]) -> Iterator[Event]:
    """The events of an item.

    Args:
        item: The finished item.
        index: Its place in the output.
        words: The pieces of what it says: its text, its summary or its arguments.
    """
    at = {"output_index": index, "item_id": item["id"]}
    emptied: dict[str, Any] = {"reasoning": {"summary": []}, "message": {"content": []}, "function_call": {}}
    opened = {**item, **emptied[item["type"]]}
    if item["type"] != "reasoning":
        opened["status"] = "in_progress"
    if item["type"] == "function_call":
        opened["arguments"] = ""
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    if item["type"] == "reasoning":
        yield from _reasoning(item, at, words)
    elif item["type"] == "message":
        yield from _message(item["content"][0], at, words)
    else:
        for word, _ in words:
            yield from word.before
            yield {"type": "response.function_call_arguments.delta", **at, "delta": word.text}
        yield {
            "type": "response.function_call_arguments.done",
            **at,
            "name": item["name"],
            "arguments": item["arguments"],
        }
    yield {"type": "response.output_item.done", "output_index": index, "item": dict(item)}


def _reasoning(item: Mapping[str, Any], at: Mapping[str, Any], words: Sequence[Word]) -> Iterator[Event]:
    part = item["summary"][0]
    at = {**at, "summary_index": 0}
    yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
    for word, _ in words:
        yield from word.before
        yield {"type": "response.reasoning_summary_text.delta", **at, "delta": word.text}
    yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **at, "part": part}


def _message(part: Mapping[str, Any], at: Mapping[str, Any], words: Sequence[Word]) -> Iterator[Event]:
    at = {**at, "content_index": 0}
    if part["type"] == "refusal":
        yield {"type": "response.content_part.added", **at, "part": {**part, "refusal": ""}}
        yield {"type": "response.refusal.delta", **at, "delta": part["refusal"]}
        yield {"type": "response.refusal.done", **at, "refusal": part["refusal"]}
    else:
        yield {"type": "response.content_part.added", **at, "part": {**part, "text": "", "logprobs": []}}
        for word, logprobs in words:
            yield from word.before
            yield {"type": "response.output_text.delta", **at, "delta": word.text, "logprobs": logprobs}
        yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": part["logprobs"]}
    yield {"type": "response.content_part.done", **at, "part": dict(part)}
