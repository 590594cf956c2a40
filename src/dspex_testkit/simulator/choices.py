"""What an engine said, as a `Choice`: from a whole response, or from the events of a stream with the pauses between."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dspy.lm15 import (
    RefusalPart,
    Response,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
)

from dspex_testkit.calls import Usage
from dspex_testkit.wires.exchange import Choice, Pause, Piece, Token, ToolCall

_BREAK = (Pause(breaks=True),)


def choice_of_response(response: Response) -> Choice:
    """The choice that a response makes when it comes at once."""
    texts, thoughts, calls, refusal = [], [], [], None
    for part in response.message.parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ThinkingPart):
            thoughts.append(part.text)
        elif isinstance(part, ToolCallPart):
            calls.append(ToolCall(part.id, part.name, part.input))
        elif isinstance(part, RefusalPart):
            refusal = part.text
    return Choice(
        text="".join(texts),
        reasoning="".join(thoughts) if thoughts else None,
        tool_calls=tuple(calls),
        refusal=refusal,
        tokens=tokens_of(response.logprobs or ()),
        finish="tool_call" if calls else str(response.finish_reason),
    )


def tokens_of(logprobs: Sequence[TokenLogprob]) -> tuple[Token, ...]:
    """The tokens of an answer whose log probabilities are known."""
    return tuple(
        Token(each.token, each.logprob, tuple((other.token, other.logprob) for other in each.top)) for each in logprobs
    )


def usage_of(response: Response) -> Usage:
    """The tokens of a response."""
    usage = response.usage
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cached_tokens=usage.cache_read_tokens,
    )


class ChoiceBuilder:
    """Listens to the events of a stream."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._spoken: list[Piece] = []
        self._thought: list[Piece] = []
        self._calls: dict[int, tuple[Pause, ...]] = {}
        self._owed = 0.0

    def hear(self, event: Any, pause: float) -> None:
        """Take an event that came after so many seconds."""
        self.events.append(event)
        self._owed += pause
        delta = getattr(event, "delta", None)
        if isinstance(delta, ToolCallDelta):
            if delta.part_index not in self._calls:
                self._calls[delta.part_index] = self._due()
        elif isinstance(delta, TextDelta | ThinkingDelta) and delta.text:
            # A piece without text would say nothing, and cost a client a frame.
            heard = self._spoken if isinstance(delta, TextDelta) else self._thought
            tokens = tokens_of(delta.logprobs) if isinstance(delta, TextDelta) else ()
            heard.append(Piece(delta.text, self._due(), tokens))

    def whole(self, response: Response) -> Choice:
        """The choice, once the stream has come to its end."""
        choice = choice_of_response(response)
        calls = zip(choice.tool_calls, self._calls.values(), strict=False)
        paced = tuple(replace(call, before=before) for call, before in calls)
        return replace(
            choice,
            spoken=self._told(self._spoken, choice.text),
            thought=self._told(self._thought, choice.reasoning or ""),
            tool_calls=paced + choice.tool_calls[len(paced) :],
        )

    def broken(self) -> Choice:
        """The choice, where the stream broke off after what was heard."""
        return Choice(
            text="".join(piece.text for piece in self._spoken),
            reasoning="".join(piece.text for piece in self._thought) if self._thought else None,
            spoken=(*self._spoken, Piece("", _BREAK)),
            thought=tuple(self._thought),
        )

    def _due(self) -> tuple[Pause, ...]:
        owed, self._owed = self._owed, 0.0
        return (Pause(owed),) if owed else ()

    @staticmethod
    def _told(heard: Sequence[Piece], text: str) -> tuple[Piece, ...]:
        """The pieces, unless an edited recording says something else as a whole than in its chunks."""
        return tuple(heard) if "".join(piece.text for piece in heard) == text else ()
