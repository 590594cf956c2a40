"""Constraints of a field (`ge`, `max_length`, `pattern`, …) as one value, wherever pydantic keeps them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a value must keep to; None means free."""

    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    multiple_of: Any = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    def with_metadata(self, metadata: Iterable[Any]) -> "Bounds":
        """These bounds and those in annotations such as `annotated_types.Ge` or `Field(ge=…)`."""
        found: dict[str, Any] = {}
        for item in metadata:
            # A `Field(…)` inside Annotated keeps its constraints in metadata of its own.
            for source in (item, *getattr(item, "metadata", ())):
                for name in self.__slots__:
                    value = getattr(source, name, None)
                    if value is not None and not callable(value):
                        found[name] = value
        return replace(self, **found) if found else self

    def whole(self, default: tuple[int, int]) -> tuple[int, int]:
        """The smallest and largest allowed integer, within `default` where a side is free."""
        low = None if self.ge is None and self.gt is None else _max(_ceil(self.ge), _above(self.gt))
        high = None if self.le is None and self.lt is None else _min(_floor(self.le), _below(self.lt))
        return _span(low, high, default)

    def decimal(self, default: tuple[float, float]) -> tuple[float, float]:
        """An interval strictly inside the allowed one."""
        low = _max(self.ge, self.gt)
        high = _min(self.le, self.lt)
        first, last = _span(None if low is None else float(low), None if high is None else float(high), default)
        # An open end is kept away from by a thousandth of the interval.
        margin = (last - first) / 1000
        return (first + margin if self.gt is not None else first), (last - margin if self.lt is not None else last)

    def count(self, default: int) -> int:
        """How many items or characters, as near to `default` as allowed."""
        low = self.min_length or 0
        high = default if self.max_length is None else self.max_length
        return max(low, min(default, high))


def _ceil(value: Any) -> int | None:
    return None if value is None else math.ceil(value)


def _floor(value: Any) -> int | None:
    return None if value is None else math.floor(value)


def _above(value: Any) -> int | None:
    return None if value is None else math.floor(value) + 1


def _below(value: Any) -> int | None:
    return None if value is None else math.ceil(value) - 1


def _max(*values: Any) -> Any:
    return max((value for value in values if value is not None), default=None)


def _min(*values: Any) -> Any:
    return min((value for value in values if value is not None), default=None)


def _span(low: Any, high: Any, default: tuple[Any, Any]) -> tuple[Any, Any]:
    width = default[1] - default[0]
    if low is None and high is None:
        return default
    if low is None:
        # Where the usual values lie above, as many below.
        return (default[0] if default[0] < high else high - width), high
    if high is None:
        return low, max(default[1], low + width)
    return low, high
