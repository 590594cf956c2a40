"""What a member of an ensemble answered, or why it did not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dspy.lm15 import Response, ToolCallPart

from dspex_testkit.calls import LMCall
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.responses import as_json, read_outputs, text_of
from dspex_testkit.redaction import redact_error

WHOLE = "(answer)"
"""The one field of an answer that nobody reads field by field: without an adapter, or with tool calls."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One member's part in a call."""

    index: int
    identity: LMCall
    response: Response | None = None
    outputs: Mapping[str, Any] | None = None
    """Values per output field; None where the member failed."""
    error: BaseException | None = None

    @property
    def answered(self) -> bool:
        """Whether there is an answer that can be read."""
        return self.outputs is not None

    def describe(self) -> dict[str, Any]:
        """The member's part as JSON values."""
        record: dict[str, Any] = {
            "index": self.index,
            "provider": self.identity.provider,
            "model": self.identity.model,
            "outputs": as_json(self.outputs),
        }
        if self.error is not None:
            record["error"] = brief(self.error)
        return record


def brief(error: BaseException) -> str:
    """A failure in one line; what DSPy advises to do about it stands in the member's own call."""
    # It is told in an answer, where only secrets that are known are looked for.
    return redact_error(f"{type(error).__name__}: {error}").split("\n", 1)[0]


class UnreadableAnswerError(Exception):
    """A member answered, but the adapter in use cannot read it."""


def candidate_of(index: int, identity: LMCall, response: Response, capture: Capture | None) -> Candidate:
    """A member's answer, read as the program will read it."""
    outputs = read_outputs(capture, response)
    if outputs is None:
        tools = [part for part in response.message.parts if isinstance(part, ToolCallPart)]
        if capture is not None and capture.stage == "answer" and not tools:
            error = UnreadableAnswerError(f"{type(capture.adapter).__name__} cannot read {text_of(response)[:200]!r}")
            return Candidate(index, identity, response=response, error=error)
        called = [f"{tool.name}({tool.input})" for tool in tools]
        outputs = {WHOLE: "\n".join([text_of(response), *called])}
    return Candidate(index, identity, response=response, outputs=outputs)
