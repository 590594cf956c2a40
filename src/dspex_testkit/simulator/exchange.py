"""What is asked and what is answered, in words that no provider owns: `Ask` and `Answered`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dspy.lm15 import Request

from dspex_testkit.calls import Usage

_WORD = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True, slots=True)
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
class ToolCall:
    """A call of a tool, arguments as data."""

    id: str
    name: str
    arguments: Mapping[str, Any]


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


@dataclass(frozen=True, slots=True)
class Answered:
    """All answers to one request."""

    number: int
    """Counts the answers of a server; ids are made from it."""
    created: int
    """Seconds since the epoch."""
    choices: tuple[Choice, ...]
    usage: Usage

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
