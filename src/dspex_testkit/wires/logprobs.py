"""Log probabilities: those that were recorded, else made-up ones.

What is made up is plausible, the same for the same text, each below zero and best first.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from zlib import crc32

from dspex_testkit.wires.exchange import Choice, Piece, Token, pieces


def tokens(said: Choice | Piece | str, top: int) -> Iterator[Token]:
    """The tokens of what was said; where they were not recorded, words stand for them."""
    if not isinstance(said, str) and said.tokens:
        yield from (replace(token, top=token.top[:top]) for token in said.tokens)
        return
    for word in pieces(said if isinstance(said, str) else said.text):
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
