"""Conditions of a rule: what one property of a call must be.

"Paris"                     equals; so do numbers, booleans, lists
{"equals": …}               the same, for values that are objects
{"in": ["a", "b"]}
{"contains": "Par"}         in the text of the value
{"regex": "^Par(is)?$"}     found in the text of the value
a Python callable           truthy for the value
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dspex_testkit.errors import InvalidMockSpecError, UnusablePatternError
from dspex_testkit.limits import brief
from dspex_testkit.nearest import nearest_hint
from dspex_testkit.patterns import AnyPattern, bounded

_OPERATORS = ("equals", "in", "contains", "regex", "predicate")


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one value."""

    operator: str
    operand: Any
    test: Callable[[Any], bool]

    @property
    def is_exact(self) -> bool:
        """Whether it allows a single value only; such conditions can be looked up instead of tried."""
        return self.operator == "equals"

    @property
    def weight(self) -> int:
        """How much it says: a longer pattern says more."""
        return len(self.operand) if isinstance(self.operand, str) and not self.is_exact else 0


def read_condition(given: Any, label: str, *, sent: bool = False) -> Condition:
    """Read a condition.

    Args:
        given: The condition as it is written.
        label: What it is a condition of, for messages.
        sent: A client wrote it, so that its patterns are bounded.

    Raises:
        InvalidMockSpecError: The operator is unknown, or its operand has the wrong type.
    """
    if callable(given):
        return Condition("predicate", given, lambda value: bool(given(value)))
    if not isinstance(given, Mapping):
        return _equals(given)
    if len(given) != 1:
        raise InvalidMockSpecError(
            f"{label}: a condition has one operator, such as {{'contains': 'text'}}, not {brief(dict(given))}; "
            "write {'equals': {…}} for a value that is an object."
        )
    ((operator, operand),) = given.items()
    if operator == "equals":
        return _equals(operand)
    if operator == "in" and isinstance(operand, list | tuple):
        allowed = frozenset(map(comparable, operand))
        return Condition("in", operand, lambda value: comparable(value) in allowed)
    if operator == "contains" and isinstance(operand, str):
        return Condition("contains", operand, lambda value: operand in as_text(value))
    if operator == "regex" and isinstance(operand, str):
        return _regex(operand, label, sent=sent)
    if operator == "predicate" and callable(operand):
        return read_condition(operand, label)
    if operator in _OPERATORS:
        raise InvalidMockSpecError(f"{label}: {operator!r} cannot be {brief(operand)}.")
    raise InvalidMockSpecError(
        f"{label}: unknown operator {brief(operator)}{nearest_hint(str(operator), _OPERATORS)}; "
        f"known are {', '.join(_OPERATORS)}."
    )


def comparable(value: Any) -> str:
    """A text that is the same for equal values, whether they came as Python or as JSON."""
    if isinstance(value, str):
        return "s" + value
    return "j" + json.dumps(value, sort_keys=True, ensure_ascii=False, default=_plain)


def as_text(value: Any) -> str:
    """The value as a person would search it."""
    return value if isinstance(value, str) else comparable(value)[1:]


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)


def _equals(expected: Any) -> Condition:
    wanted = comparable(expected)
    return Condition("equals", expected, lambda value: comparable(value) == wanted)


def _regex(pattern: str, label: str, *, sent: bool) -> Condition:
    try:
        compiled: AnyPattern = bounded(pattern) if sent else re.compile(pattern)
    except UnusablePatternError as error:
        raise InvalidMockSpecError(f"{label}: {error.message}.") from None
    except re.error as error:
        raise InvalidMockSpecError(f"{label}: {pattern!r} is no regular expression: {error}.") from None
    return Condition("regex", pattern, lambda value: compiled.search(as_text(value)) is not None)
