"""Faults as data: what goes wrong, on which calls. No dspy here; `faults` makes them happen."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.limits import LONGEST_WAIT_MS, brief
from dspex_testkit.nearest import nearest_hint

ErrorKind = Literal[
    "rate_limit",
    "timeout",
    "server_error",
    "overloaded",
    "auth",
    "billing",
    "context_length",
    "invalid_request",
    "unsupported_model",
    "connection",
]
"""The request fails as with a real provider."""
AnswerKind = Literal[
    "content_filter",
    "refusal",
    "truncated",
    "malformed",
    "missing_field",
    "wrong_type",
    "empty",
    "broken_tool_call",
]
"""The answer arrives, and is spoilt."""
StreamKind = Literal["dropped_stream", "stall"]
"""The answer stops on its way; where it is not streamed, a drop is a broken connection and a stall is a delay."""
KINDS: tuple[str, ...] = (*get_args(ErrorKind), *get_args(AnswerKind), *get_args(StreamKind))


class FaultSpec(BaseModel):
    """One fault, and the schedule by which calls it strikes.

    Without a schedule it strikes every call (as an answer's `$fault`: every time that answer is given).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: ErrorKind | AnswerKind | StreamKind = Field(description="What goes wrong.")
    calls: tuple[int, ...] | None = Field(default=None, description="The calls it strikes, counted from 1.")
    rate: float | None = Field(default=None, ge=0, le=1, description="The share of calls it strikes, by the seed.")
    seed: int | str = Field(default=0, description="The seed of `rate`.")
    every: int | None = Field(default=None, ge=1, description="Strikes every n-th call.")
    session: str | None = Field(default=None, description="Strikes only this session, whose calls are counted apart.")
    program: str | None = Field(default=None, description="Strikes only this program, whose calls are counted apart.")
    message: str | None = Field(default=None, description="The provider's message.")
    retry_after: float | None = Field(
        default=None, ge=0, le=LONGEST_WAIT_MS / 1000, description="Seconds, with a rate limit."
    )
    after_chunks: int = Field(default=1, ge=0, description="Chunks that arrive before a stream drops or stalls.")
    stall_ms: float = Field(default=1000, ge=0, le=LONGEST_WAIT_MS, description="How long a stall takes.")
    field: str | None = Field(default=None, description="The field that is missing or of the wrong type.")

    @model_validator(mode="after")
    def _check(self) -> "FaultSpec":
        given = [key for key in ("calls", "rate", "every") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} contradict each other; write one of them")
        if self.calls is not None and any(number < 1 for number in self.calls):
            raise ValueError("calls are counted from 1")
        return self


def read_fault(given: Any, label: str) -> FaultSpec:
    """Read a fault: its kind, or an object.

    Raises:
        InvalidMockSpecError: It is no fault.
    """
    if isinstance(given, FaultSpec):
        return given
    fault = {"kind": given} if isinstance(given, str) else given
    if not isinstance(fault, Mapping):
        raise InvalidMockSpecError(
            f"{label}: a fault is a kind such as 'rate_limit', or an object, not {brief(given)}."
        )
    kind = fault.get("kind")
    if kind not in KINDS:
        hint = nearest_hint(kind, KINDS) if isinstance(kind, str) else ""
        raise InvalidMockSpecError(f"{label}: unknown fault {brief(kind)}{hint}; known are {', '.join(KINDS)}.")
    try:
        return FaultSpec.model_validate(dict(fault))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        hint = nearest_hint(key, FaultSpec.model_fields) if problem["type"] == "extra_forbidden" else ""
        text = problem["msg"].removeprefix("Value error, ")
        raise InvalidMockSpecError(f"{label}: {key}{': ' if key else ''}{text}{hint}.") from None
