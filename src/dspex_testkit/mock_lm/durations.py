"""How long something takes: a number of milliseconds, or a distribution of them.

20
{"fixed": 20}
{"uniform": [10, 30]}
{"lognormal": {"median": 20, "sigma": 0.5}}    as response times mostly are
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.limits import LONGEST_WAIT_MS, brief, is_number
from dspex_testkit.nearest import nearest_hint

_SHAPES = ("fixed", "uniform", "lognormal")
_NORMAL = NormalDist()
_LARGEST_EXPONENT = 700.0
"""What `math.exp` can take."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A distribution of milliseconds."""

    shape: str
    first: float
    second: float = 0.0

    def at(self, share: float) -> float:
        """The duration, in seconds, below which that share of all durations lies.

        Args:
            share: Between 0 and 1.
        """
        if self.shape == "uniform":
            return (self.first + (self.second - self.first) * share) / 1000
        if self.shape == "lognormal":
            spread = min(self.second * _NORMAL.inv_cdf(min(max(share, 1e-9), 1 - 1e-9)), _LARGEST_EXPONENT)
            return min(self.first * math.exp(spread), LONGEST_WAIT_MS) / 1000
        return self.first / 1000


def read_duration(given: Any, label: str) -> Duration:
    """Read a duration.

    Raises:
        InvalidMockSpecError: It is none.
    """
    if _is_number(given):
        return Duration("fixed", float(given))
    if not isinstance(given, Mapping) or len(given) != 1:
        raise InvalidMockSpecError(
            f"{label}: a duration is a number of milliseconds, {LONGEST_WAIT_MS} at most, or "
            f"{{'uniform': [10, 30]}}, not {brief(given)}."
        )
    ((shape, value),) = given.items()
    if shape == "fixed" and _is_number(value):
        return Duration("fixed", float(value))
    if shape == "uniform" and isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value)):
        return Duration("uniform", float(value[0]), float(value[1]))
    if shape == "lognormal" and isinstance(value, Mapping) and value.keys() <= {"median", "sigma"}:
        median, sigma = value.get("median"), value.get("sigma", 0.5)
        if _is_number(median) and _is_number(sigma):
            return Duration("lognormal", float(median or 0), float(sigma))
    if shape in _SHAPES:
        raise InvalidMockSpecError(
            f"{label}: {shape!r} cannot be {brief(value)}; each number is of 0 to {LONGEST_WAIT_MS} ms."
        )
    raise InvalidMockSpecError(
        f"{label}: unknown distribution {brief(shape)}{nearest_hint(str(shape), _SHAPES)}; "
        f"known are {', '.join(_SHAPES)}."
    )


def _is_number(value: Any) -> bool:
    return is_number(value, 0, LONGEST_WAIT_MS)
