"""A finished response as the stream of events that a provider would have sent.

Text goes out word by word with the space before it: one big chunk would make DSPy's stream listeners emit nothing,
and single characters would leak the chat adapter's field markers. Where the tokens are known, because their log
probabilities are, it goes out token by token, each with its own, as a provider sends it.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dspy.lm15 import Response, StreamDeltaEvent, TextDelta, ThinkingDelta, response_to_events

_WORD = re.compile(r"\s*\S+|\s+$")


def stream_events(response: Response) -> Iterator[Any]:
    """The response's events, texts and reasoning cut into words."""
    for event in response_to_events(response):
        delta = getattr(event, "delta", None)
        if isinstance(delta, TextDelta | ThinkingDelta):
            yield from map(StreamDeltaEvent, _pieces(delta))
        else:
            yield event


def _pieces(delta: Any) -> Iterator[Any]:
    logprobs = delta.logprobs if isinstance(delta, TextDelta) else ()
    if logprobs and "".join(token.token for token in logprobs) == delta.text:
        for token in logprobs:
            yield replace(delta, text=token.token, logprobs=(token,))
        return
    for word in _WORD.findall(delta.text):
        yield replace(delta, text=word, **({"logprobs": logprobs} if logprobs else {}))
        if logprobs:
            # Of words that the tokens do not make up, the first carries all.
            delta, logprobs = replace(delta, logprobs=()), ()


def is_chunk(event: Any) -> bool:
    """Whether an event carries content."""
    return bool(event.type == "delta")
