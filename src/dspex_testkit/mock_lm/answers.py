"""`Answer`: what a mock has decided to say, before it is completed, typed and rendered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


class _Nothing:
    """Sentinel: no single value was given (None is a value)."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Answer:
    """One decided answer; what it leaves open is filled in for the fields of the signature."""

    rule: str
    """What decided: a rule's name, `responses[…]`, `default`, `script[3]`, `derived`."""
    value: Any = NOTHING
    """For the one output that the caller is after."""
    fields: Mapping[str, Any] | None = None
    """Values per output field."""


def answer_from(given: Any, rule: str) -> Answer:
    """Read an answer as it stands in a table or script: an object gives fields, anything else the one output."""
    if isinstance(given, Mapping):
        return Answer(rule=rule, fields=given)
    return Answer(rule=rule, value=given)
