"""What is asked and what is answered, in words that no provider owns: `Ask` and `Answered`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dspy.lm15 import Request

from dspex_testkit.calls import LMCall, Usage

_WORD = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True)
class Ask:
    """One request, read from a provider's body."""

    provider: str
    model: str
    request: Request
    stream: bool = False
    n: int = 1
    include_usage: bool = True
    """Whether a stream ends with the usage."""
    top_logprobs: int | None = None
    """Alternatives per token; None where no logprobs are asked for."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What only this wire needs to know when it answers."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What happens between two frames of a stream."""

    seconds: float = 0.0
    breaks: bool = False
    """The connection breaks off here."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer with what might have stood in its place."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]
    """Alternatives, the token itself first."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one frame says of a text."""

    text: str
    before: tuple[Pause, ...] = ()
    """One pause or none."""
    tokens: tuple[Token, ...] = ()
    """Of which it is made, where that was recorded."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, arguments as data."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    before: tuple[Pause, ...] = ()
    """One pause or none, where the answer is streamed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of `n` answers."""

    text: str = ""
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    finish: str = "stop"
    """`stop`, `length`, `tool_call` or `content_filter`."""
    stop_sequence: str | None = None
    """The stop that cut the text, if one did."""
    spoken: tuple[Piece, ...] = ()
    """The text as it comes in a stream; left out, word by word and without a pause."""
    thought: tuple[Piece, ...] = ()
    """The same of the reasoning."""
    tokens: tuple[Token, ...] = ()
    """Of which the text is made, where that was recorded."""

    @property
    def words(self) -> Sequence[Piece]:
        """The text in pieces."""
        if not self.spoken and "".join(token.text for token in self.tokens) == self.text:
            return [Piece(token.text, tokens=(token,)) for token in self.tokens]
        return self.spoken or in_words(self.text)

    @property
    def thoughts(self) -> Sequence[Piece]:
        """The reasoning in pieces."""
        return self.thought or in_words(self.reasoning or "")


@dataclass(frozen=True, slots=True)
class Spoken:
    """One answer of an engine, with what the journal is to say of it."""

    choice: Choice
    usage: Usage
    call: LMCall
    delay: float = 0.0
    """Seconds until it is there, or until its stream begins."""


class Unanswered(Exception):
    """An engine failed.

    Args:
        error: What it raised.
        call: What the journal is to say of it; None where the engine did not get so far.
    """

    def __init__(self, error: Exception, call: LMCall | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.call = call


@dataclass(frozen=True, slots=True)
class Answered:
    """All answers to one request."""

    number: int
    """Counts the answers of a server; ids are made from it."""
    created: int
    """Seconds since the epoch."""
    choices: tuple[Choice, ...]
    usage: Usage
    delay: float = 0.0
    """Seconds until the first byte."""

    def id(self, prefix: str) -> str:
        """An id as the provider spells them."""
        return f"{prefix}sim{self.number:012d}"

    @property
    def input_tokens(self) -> int:
        """Tokens of the prompt."""
        return self.usage.input_tokens or 0

    @property
    def output_tokens(self) -> int:
        """Tokens of all answers, reasoning included."""
        return self.usage.output_tokens or 0

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of reasoning."""
        return self.usage.reasoning_tokens or 0

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that came from the provider's cache."""
        return self.usage.cached_tokens or 0


def pieces(text: str) -> list[str]:
    """A text in the pieces in which it is streamed: words, each with the space before it."""
    return _WORD.findall(text)


def in_words(text: str) -> list[Piece]:
    """A text in pieces that come at once."""
    return [Piece(word) for word in pieces(text)]
