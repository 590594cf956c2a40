"""`Answer`: what a mock has decided to say, before it is completed, typed and rendered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final


class _Nothing:
    """Sentinel: no single value was given (None is a value)."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Answer:
    """One decided answer; what it leaves open is filled in for the fields of the signature.

    A function mock may return one. Everything but `rule` can be written in JSON, see `reading_forms`.
    """

    rule: str = ""
    """What decided: a rule's name, `responses[…]`, `default`, `script[3]`, `derived`."""
    value: Any = NOTHING
    """For the one output that the caller is after."""
    fields: Mapping[str, Any] | None = None
    """Values per output field."""
    completion: str | None = None
    """The text as it is to arrive, unchecked: to test what a program does with a bad one."""
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    """Tools to call, each with `name`, `args` and perhaps `id`."""
    reasoning: str | None = None
    """What is to be found in the reasoning, native or not."""
    fault: Any = None
    """A `FaultSpec` in place of, or done to, the answer."""
    usage: Mapping[str, int] | None = None
    """Token counts that differ from the estimate."""
    cost: Decimal | None = None
    """US dollars."""
    latency_ms: Any = None
    """A time or distribution, instead of the mock's own."""
    finish_reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it says nothing about the outputs."""
        return self.value is NOTHING and self.fields is None
