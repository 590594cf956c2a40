"""Faults of the connection and of the server, as data: what goes wrong, on which requests.

They strike before or after a mock has answered; faults of a model (refusals, missing fields, …) are the mock's own.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import ceil
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dspex_testkit.calls import Counters
from dspex_testkit.errors import UsageError
from dspex_testkit.limits import LONGEST_WAIT_MS, brief
from dspex_testkit.mock_lm.fault_spec import check_options, named_here
from dspex_testkit.mock_lm.typed_values import number_source
from dspex_testkit.nearest import nearest_hint
from dspex_testkit.wires.failures import STATUSES

BEFORE: Final = {
    "reset": "the connection is reset",
    "close": "the connection is closed without a word",
    "hang": "nothing comes",
    "empty": "status 200 and no body",
    "empty_object": "status 200 and {}",
    "html": "status 200, or another one, and a web page",
    "redirect": "status 307 to somewhere else",
}
"""Faults in place of an answer, besides those of `failures.STATUSES`."""
AFTER: Final = {
    "truncated": "half of the announced body, then the connection is closed",
    "malformed": "a body that is no JSON",
    "slow_first_byte": "the answer, late",
    "stalled_stream": "a stream that pauses",
    "cut_stream": "a stream that ends early",
    "reset_stream": "a stream whose connection is reset",
    "error_event": "a stream with the provider's error in the place of its end",
    "bad_chunk": "a stream with one chunk that is no JSON",
    "wrong_content_type": "the answer as text/plain",
    "oversized": "the answer in a body of many megabytes",
}
"""Faults done to an answer."""
KINDS: Final = (*STATUSES, *BEFORE, *AFTER)
ALIASES: Final = {
    "unsupported_model": "not_found",
    "connection": "reset",
    "dropped_stream": "reset_stream",
    "stall": "stalled_stream",
}
"""Kinds as mock LMs name them."""
_OPTION_ALIASES: Final = {"stall_ms": "delay_ms"}
_IN_STREAMS: Final = ("stalled_stream", "cut_stream", "reset_stream", "error_event", "bad_chunk", "truncated")
_FITTING: Final = {
    "status": (*STATUSES, "redirect", "html", "empty", "empty_object"),
    "message": (*STATUSES, "error_event"),
    "retry_after": tuple(STATUSES),
    "retry_after_form": tuple(STATUSES),
    "after_chunks": _IN_STREAMS,
    "delay_ms": ("hang", "slow_first_byte", "stalled_stream"),
    "megabytes": ("oversized",),
    "location": ("redirect",),
}
"""Options that mean something for some kinds only."""


class HTTPFault(BaseModel):
    """One fault and its schedule; without one it strikes every request."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: str = Field(description="What goes wrong.")
    calls: tuple[int, ...] | None = Field(default=None, description="The requests it strikes, counted from 1.")
    every: int | None = Field(default=None, ge=1, description="Strikes every n-th request.")
    rate: float | None = Field(default=None, ge=0, le=1, description="The share of requests it strikes, by the seed.")
    seed: int | str = Field(default=0, description="The seed of `rate`.")
    status: int | None = Field(
        default=None, ge=300, le=599, description="Another status than the provider's usual one."
    )
    message: str | None = Field(default=None, description="The provider's message.")
    retry_after: float | None = Field(
        default=None, ge=0, le=LONGEST_WAIT_MS / 1000, description="Seconds after which to come again."
    )
    retry_after_form: Literal["seconds", "date", "ms"] = Field(
        default="seconds", description="How that is spelled: `Retry-After: 2`, a date there, or `retry-after-ms`."
    )
    after_chunks: int = Field(default=1, ge=0, description="Chunks that arrive before a stream stalls or ends.")
    delay_ms: float | None = Field(
        default=None,
        ge=0,
        le=LONGEST_WAIT_MS,
        description="How long a delay takes; left out, a second, and a hang is endless.",
    )
    megabytes: int = Field(default=16, ge=1, le=512, description="How large an oversized body is.")
    location: str = Field(default="/elsewhere", description="Where a redirect leads.")

    @model_validator(mode="after")
    def _check(self) -> "HTTPFault":
        given = [key for key in ("calls", "every", "rate") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} contradict each other; write one of them")
        if self.calls is not None and any(number < 1 for number in self.calls):
            raise ValueError("calls are counted from 1")
        check_options(self.kind, self.model_fields_set, _FITTING)
        if "retry_after_form" in self.model_fields_set and self.retry_after is None:
            raise ValueError("retry_after_form says how retry_after is spelled, and there is none")
        return self

    def headers(self) -> dict[str, str]:
        """When to come again, as the fault spells it."""
        if self.retry_after is None:
            return {}
        if self.retry_after_form == "ms":
            return {"retry-after-ms": f"{self.retry_after * 1000:g}"}
        if self.retry_after_form == "date":
            # Dates know whole seconds only; a client must not come too early.
            when = datetime.now(UTC) + timedelta(seconds=ceil(self.retry_after))
            return {"Retry-After": format_datetime(when, usegmt=True)}
        return {"Retry-After": f"{self.retry_after:g}"}


def read_http_fault(given: Any, label: str = "fault") -> HTTPFault:
    """Read a fault: its kind, or an object.

    Raises:
        UsageError: It is no fault.
    """
    if isinstance(given, HTTPFault):
        return given
    fault: Any = {"kind": given} if isinstance(given, str) else given
    if isinstance(fault, Mapping):
        fault = named_here(fault, ALIASES, _OPTION_ALIASES)
    else:
        raise UsageError(f"{label}: a fault is a kind such as 'rate_limit', or an object, not {brief(given)}.")
    kind = fault.get("kind")
    if kind not in KINDS:
        raise UsageError(
            f"{label}: unknown fault {brief(kind)}{nearest_hint(brief(kind), KINDS)}; known are {', '.join(KINDS)}."
        )
    try:
        return HTTPFault.model_validate(dict(fault))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        hint = nearest_hint(key, HTTPFault.model_fields) if problem["type"] == "extra_forbidden" else ""
        text = problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"{label}: {key}{': ' if key else ''}{text}{hint}.") from None


def parse_fault_option(text: str) -> HTTPFault:
    """A fault as written on a command line: `rate_limit`, `rate_limit:calls=1+3,retry_after=2`.

    Raises:
        UsageError: It is no fault.
    """
    kind, _, rest = text.partition(":")
    fault: dict[str, Any] = {"kind": kind}
    for pair in filter(None, rest.split(",")):
        key, found, value = pair.partition("=")
        if not found:
            raise UsageError(f"--fault {text}: {pair!r} should be KEY=VALUE, as in rate_limit:calls=1+3,retry_after=2")
        fault[key.strip()] = (
            [number.strip() for number in value.split("+")] if key.strip() == "calls" else value.strip()
        )
    return read_http_fault(fault, f"--fault {text}")


class HTTPFaultSchedule:
    """Which request goes wrong, and how; the first fault that strikes is the one that happens."""

    def __init__(self, faults: Sequence[HTTPFault], counters: Counters) -> None:
        self.faults = tuple(faults)
        self._counters = counters

    def strike(self) -> HTTPFault | None:
        """The fault of the next request, if it has one; every schedule counts the request."""
        struck = [fault for index, fault in enumerate(self.faults) if self._strikes(fault, index)]
        return struck[0] if struck else None

    def _strikes(self, fault: HTTPFault, index: int) -> bool:
        number = self._counters.next_index(f"http_fault:{index}") + 1
        if fault.calls is not None:
            return number in fault.calls
        if fault.every is not None:
            return number % fault.every == 0
        if fault.rate is not None:
            return number_source(str(fault.seed), str(index))(str(number)) / 2**64 < fault.rate
        return True
