"""Rate limits as providers have them: buckets that fill up by the minute."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dspex_testkit.errors import UsageError
from dspex_testkit.limits import LARGEST_COUNT, brief, is_number

_KEYS = ("requests_per_minute", "tokens_per_minute")


@dataclass(slots=True)
class Bucket:
    """Holds a minute's worth; refills steadily."""

    capacity: float
    now: Callable[[], float]
    level: float = field(init=False)
    _filled_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.capacity
        self._filled_at = self.now()

    def wait_for(self, amount: float) -> float:
        """Seconds until that much can be taken; 0 if it can be now. More than the bucket holds waits until full."""
        now = self.now()
        self.level = min(self.capacity, self.level + (now - self._filled_at) * self.capacity / 60)
        self._filled_at = now
        missing = min(amount, self.capacity) - self.level
        return max(0.0, missing * 60 / self.capacity)

    def take(self, amount: float) -> None:
        """Take it, below empty if need be: what an answer costs is known only afterwards."""
        self.level -= amount


class RateLimits:
    """The limits of one target.

    Args:
        limits: `requests_per_minute` and `tokens_per_minute`, either or both.
        now: Seconds of a clock.

    Raises:
        UsageError: A key is unknown or a value is not positive.
    """

    def __init__(self, limits: Mapping[str, Any], now: Callable[[], float]) -> None:
        for key, value in limits.items():
            if key not in _KEYS:
                raise UsageError(f"Unknown rate limit {brief(key)}; known are {', '.join(_KEYS)}.")
            if not is_number(value, 0, LARGEST_COUNT) or not value:
                raise UsageError(f"{key}: a number above 0 is wanted, {LARGEST_COUNT} at most, not {brief(value)}.")
        self._buckets = {
            key.partition("_")[0]: Bucket(float(limits[key]), now) for key in _KEYS if limits.get(key) is not None
        }

    def admit(self, tokens: int) -> tuple[str, float] | None:
        """Take a request of that many input tokens in, or say which limit it hits and for how many seconds."""
        for name, bucket in self._buckets.items():
            wait = bucket.wait_for(1 if name == "requests" else tokens)
            if wait > 0:
                return name, wait
        for name, bucket in self._buckets.items():
            bucket.take(1 if name == "requests" else tokens)
        return None

    def charge(self, tokens: int) -> None:
        """Take the tokens of an answer."""
        if "tokens" in self._buckets:
            self._buckets["tokens"].take(tokens)

    def report(self) -> dict[str, str]:
        """What providers tell in headers: `limit-requests`, `remaining-requests`, the same for tokens."""
        told = {}
        for name, bucket in self._buckets.items():
            told[f"limit-{name}"] = f"{bucket.capacity:g}"
            told[f"remaining-{name}"] = str(max(0, int(bucket.level)))
        return told
