"""Token counts by estimate.

A token is taken to be four characters, rounded up, which is near enough for English text under today's tokenizers;
media are not counted. The estimate is the same on every machine and needs no tokenizer.
"""

from typing import Any

from dspy.lm15 import Request

from dspex_testkit.calls import Usage

CHARS_PER_TOKEN = 4


def count_tokens(chars: int) -> int:
    """Tokens of a text of that many characters."""
    return -(-chars // CHARS_PER_TOKEN)


def estimate_usage(request: Request, *, output_chars: int, reasoning_chars: int | None) -> Usage:
    """The usage that a provider might report for a request and its answer.

    Args:
        request: What was asked.
        output_chars: Characters of the answer's text and tool calls.
        reasoning_chars: Characters of native reasoning; None where there was none. Counted as output too.
    """
    reasoning = None if reasoning_chars is None else count_tokens(reasoning_chars)
    return Usage(
        input_tokens=count_tokens(_request_chars(request)),
        output_tokens=count_tokens(output_chars) + (reasoning or 0),
        reasoning_tokens=reasoning,
    )


def _request_chars(request: Request) -> int:
    system: Any = request.system
    chars = len(system) if isinstance(system, str) else sum(len(part.text or "") for part in system or ())
    for message in request.messages:
        for part in message.parts:
            chars += len(getattr(part, "text", None) or "")
    return chars
