"""Made-up log probabilities: plausible, the same for the same text, each below zero and best first."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from dspex_testkit.simulator.exchange import pieces


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer with what might have stood in its place."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]
    """Alternatives, the token itself first."""


def tokens(text: str, top: int) -> Iterator[Token]:
    """The tokens of a text; words stand for tokens."""
    for word in pieces(text):
        logprob = _logprob(word)
        rest = [(f"{word[:1]}{word[1:].swapcase()}{'~' * i}", logprob - 1.0 - i / 2) for i in range(top - 1)]
        yield Token(word, logprob, ((word, logprob), *rest) if top else ())


def _logprob(word: str) -> float:
    # Between 50 % and 100 %, so no alternative can be better.
    return round(math.log(0.5 + crc32(word.encode("utf-8", "surrogatepass")) % 5000 / 10000), 6)


def openai_logprob(token: Token) -> dict[str, Any]:
    """A token as OpenAI writes it."""
    return {
        **_openai(token.text, token.logprob),
        "top_logprobs": [_openai(text, logprob) for text, logprob in token.top],
    }


def _openai(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "surrogatepass"))}
