"""A finished response as the stream of events that a provider would have sent.

Text goes out word by word with the space before it: one big chunk would make DSPy's stream listeners emit nothing,
and single characters would leak the chat adapter's field markers.
"""

import re
from collections.abc import Iterator
from typing import Any

from dspy.lm15 import Response, StreamDeltaEvent, TextDelta, ThinkingDelta, response_to_events

_WORD = re.compile(r"\s*\S+|\s+$")


def stream_events(response: Response) -> Iterator[Any]:
    """The response's events, texts and reasoning cut into words."""
    for event in response_to_events(response):
        delta = getattr(event, "delta", None)
        if isinstance(delta, TextDelta | ThinkingDelta):
            for word in _WORD.findall(delta.text):
                yield StreamDeltaEvent(delta=type(delta)(text=word, part_index=delta.part_index))
        else:
            yield event


def is_chunk(event: Any) -> bool:
    """Whether an event carries content."""
    return bool(event.type == "delta")
