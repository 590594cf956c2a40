"""Faults as data: what goes wrong, on which calls. No dspy here; `faults` makes them happen."""

from collections.abc import Collection, Mapping
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
    "permission",
    "too_large",
    "unprocessable",
    "unavailable",
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
ALIASES: Mapping[str, str] = {
    "not_found": "unsupported_model",
    "reset": "connection",
    "close": "connection",
    "reset_stream": "dropped_stream",
    "cut_stream": "dropped_stream",
    "stalled_stream": "stall",
}
"""Kinds as the simulator of providers names them."""
_OPTION_ALIASES = {"delay_ms": "stall_ms"}

_ERRORS, _STREAMS = get_args(ErrorKind), get_args(StreamKind)
FITTING: Mapping[str, tuple[str, ...]] = {
    "message": (*_ERRORS, "dropped_stream", "content_filter", "refusal"),
    "retry_after": ("rate_limit", "overloaded", "unavailable", "server_error"),
    "after_chunks": _STREAMS,
    "stall_ms": ("stall",),
    "field": ("missing_field", "wrong_type"),
}
"""Options that mean something for some kinds only."""


def check_options(kind: str, given: Collection[str], fitting: Mapping[str, Collection[str]]) -> None:
    """Refuse an option that would say nothing of this kind of fault.

    Raises:
        ValueError: There is one.
    """
    for option, kinds in fitting.items():
        if option in given and kind not in kinds:
            fit = [each for each, its in fitting.items() if kind in its]
            raise ValueError(
                f"{option} says nothing of {kind!r}; it is for {', '.join(kinds)}"
                + (f", and {kind!r} takes {', '.join(fit)}" if fit else "")
            )
    if "seed" in given and "rate" not in given:
        raise ValueError("seed is the seed of a rate, and there is none")


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
        check_options(self.kind, self.model_fields_set, FITTING)
        return self


def named_here(fault: Mapping[str, Any], kinds: Mapping[str, str], options: Mapping[str, str]) -> dict[str, Any]:
    """A fault with the other vocabulary's names in this one's."""
    kind = fault.get("kind")
    known = kinds.get(kind, kind) if isinstance(kind, str) else kind
    if known == kind:
        return dict(fault)
    return {**{options.get(name, name): value for name, value in fault.items()}, "kind": known}


def read_fault(given: Any, label: str) -> FaultSpec:
    """Read a fault: its kind, or an object.

    Raises:
        InvalidMockSpecError: It is no fault.
    """
    if isinstance(given, FaultSpec):
        return given
    fault: Any = {"kind": given} if isinstance(given, str) else given
    if isinstance(fault, Mapping):
        fault = named_here(fault, ALIASES, _OPTION_ALIASES)
    else:
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
