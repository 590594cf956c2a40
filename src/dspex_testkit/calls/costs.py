"""Sums over LM calls: tokens and money per LM, provider, program, session and worker."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dspex_testkit.calls.call import LMCall

_MAX_PER_KIND = 10_000


@dataclass(slots=True)
class Sum:
    """What a group of calls came to."""

    calls: int = 0
    """Requests that were made; what came from a response cache is not among them."""
    failed_calls: int = 0
    cache_hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    unmetered_calls: int = 0
    """Answered calls whose tokens are unknown."""
    unpriced_calls: int = 0
    """Answered calls whose price is unknown; `cost` is without them."""
    cost: Decimal = Decimal(0)

    def add(self, call: LMCall) -> None:
        """Count one more."""
        if call.cache_hit:
            self.cache_hits += 1
            return
        self.calls += 1
        usage = call.usage
        if call.error is not None:
            self.failed_calls += 1
        elif usage.total_tokens is None:
            self.unmetered_calls += 1
        self.input_tokens += usage.input_tokens or 0
        self.output_tokens += usage.output_tokens or 0
        self.cached_tokens += usage.cached_tokens or 0
        self.reasoning_tokens += usage.reasoning_tokens or 0
        if call.cost is not None:
            self.cost += call.cost
        elif call.error is None:
            self.unpriced_calls += 1

    def to_dict(self) -> dict[str, Any]:
        """The sum as JSON values; `cost` is null where no price at all is known."""
        answered = self.calls - self.failed_calls
        unknown = answered > 0 and self.unpriced_calls == answered
        return {
            "calls": self.calls,
            "failed_calls": self.failed_calls,
            "cache_hits": self.cache_hits,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "unmetered_calls": self.unmetered_calls,
            "unpriced_calls": self.unpriced_calls,
            "cost": None if unknown else str(self.cost),
        }


_KEYS: dict[str, Callable[[LMCall], str | None]] = {
    "lms": lambda call: f"{call.provider}/{call.model}",
    "providers": lambda call: call.provider,
    "programs": lambda call: call.program_id,
    "sessions": lambda call: call.session_id,
    "workers": lambda call: call.worker_id,
}
KINDS = tuple(_KEYS)
"""By what calls are summed."""


class Costs:
    """Sums of every call since they were last cleared, in all and by kind; thread-safe.

    The groups of a kind are bounded: what was longest unused goes first, because DSPex makes up throw-away sessions.
    The sum in all keeps them.
    """

    def __init__(self, *, max_per_kind: int = _MAX_PER_KIND) -> None:
        self._max = max_per_kind
        self._lock = threading.Lock()
        self._start()

    def add(self, call: LMCall) -> None:
        """Count a call wherever it belongs; an ensemble's own call is left to those of its members."""
        if call.engine == "ensemble":
            return
        with self._lock:
            self._total.add(call)
            for kind, key_of in _KEYS.items():
                if (key := key_of(call)) is not None:
                    self._group(kind, key).add(call)

    def to_dict(self, *, session_id: str | None = None, program_id: str | None = None) -> dict[str, Any]:
        """All sums as JSON values, or those of one session or program alone."""
        with self._lock:
            if session_id is not None or program_id is not None:
                kind, key = ("sessions", session_id) if session_id is not None else ("programs", program_id)
                return {"total": self._groups[kind].get(str(key), Sum()).to_dict()}
            by_kind = {kind: {k: s.to_dict() for k, s in groups.items()} for kind, groups in self._groups.items()}
            return {"total": self._total.to_dict(), **by_kind}

    def forget_session(self, session_id: str) -> None:
        """Let a session's own sum go; it stays in all others."""
        with self._lock:
            self._groups["sessions"].pop(session_id, None)

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._start()

    def _start(self) -> None:
        self._total = Sum()
        self._groups: dict[str, OrderedDict[str, Sum]] = {kind: OrderedDict() for kind in _KEYS}

    def _group(self, kind: str, key: str) -> Sum:
        groups = self._groups[kind]
        found = groups.get(key)
        if found is None:
            found = groups[key] = Sum()
            if len(groups) > self._max:
                groups.popitem(last=False)
        else:
            groups.move_to_end(key)
        return found
