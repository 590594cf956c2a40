"""Sums over LM calls: tokens and money per LM, provider, program, session and worker."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, NamedTuple

from dspex_testkit.calls.call import LMCall

_MAX_GROUPS = 10_000


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
        """Count one more call."""
        if call.cache_hit:
            self.cache_hits += 1
            return
        self.calls += 1
        usage = call.usage
        failed = call.error is not None
        if failed:
            self.failed_calls += 1
        elif usage.input_tokens is None or usage.output_tokens is None:
            self.unmetered_calls += 1
        self.input_tokens += usage.input_tokens or 0
        self.output_tokens += usage.output_tokens or 0
        self.cached_tokens += usage.cached_tokens or 0
        self.reasoning_tokens += usage.reasoning_tokens or 0
        if call.cost is not None:
            self.cost += call.cost
        elif not failed:
            self.unpriced_calls += 1

    def merge(self, other: "Sum") -> None:
        """Take in another group."""
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))

    def to_dict(self) -> dict[str, Any]:
        """The sum as JSON values; `cost` is null where no price at all is known."""
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        answered = self.calls - self.failed_calls
        unknown = answered > 0 and self.unpriced_calls == answered
        return {**record, "cost": None if unknown else str(self.cost)}


def charged(calls: Iterable[LMCall]) -> list[LMCall]:
    """The calls that somebody is charged for: an ensemble costs what its members do, whose sum its own call tells."""
    return [call for call in calls if call.engine != "ensemble"]


def cost_of(calls: Iterable[LMCall]) -> Decimal:
    """US dollars of all calls whose price is known."""
    return sum((call.cost for call in charged(calls) if call.cost is not None), Decimal(0))


def tokens_of(calls: Iterable[LMCall]) -> int:
    """Tokens of all calls, input and output."""
    return sum(call.usage.total_tokens or 0 for call in charged(calls))


class _Group(NamedTuple):
    """Calls that belong together in every respect."""

    provider: str
    model: str
    program_id: str | None
    session_id: str | None
    worker_id: str | None

    def coarser(self) -> "_Group":
        """The group that takes it in when there are too many."""
        return self._replace(session_id=None) if self.session_id is not None else self._replace(program_id=None)


class Costs:
    """Sums of every call since they were last cleared, in all and by kind; thread-safe.

    Groups are bounded, because DSPex makes up throw-away sessions: what was longest unused is taken into a coarser
    group, first without its session, then without its program, and stays in every other sum.
    """

    def __init__(self, *, max_groups: int = _MAX_GROUPS) -> None:
        self._max = max_groups
        self._lock = threading.Lock()
        self._groups: OrderedDict[_Group, Sum] = OrderedDict()

    def add(self, call: LMCall) -> None:
        """Count a call; an ensemble's own call is left to those of its members."""
        if call.engine == "ensemble":
            return
        key = _Group(call.provider, call.model, call.program_id, call.session_id, call.worker_id)
        with self._lock:
            found = self._groups.get(key)
            if found is None:
                found = self._groups[key] = Sum()
                self._make_room()
            else:
                self._groups.move_to_end(key)
            found.add(call)

    def to_dict(self, *, session_id: str | None = None, program_id: str | None = None) -> dict[str, Any]:
        """All sums as JSON values, or the total of one session or program alone."""
        with self._lock:
            chosen = [
                (key, found)
                for key, found in self._groups.items()
                if (session_id is None or key.session_id == session_id)
                and (program_id is None or key.program_id == program_id)
            ]
            total = _merged((None, found) for _, found in chosen)
            told = {"total": total.get(None, Sum()).to_dict()}
            if session_id is not None or program_id is not None:
                return told
            return {
                **told,
                "lms": _listed((f"{key.provider}/{key.model}", found) for key, found in chosen),
                "providers": _listed((key.provider, found) for key, found in chosen),
                "programs": _listed((key.program_id, found) for key, found in chosen),
                "sessions": _listed((key.session_id, found) for key, found in chosen),
                "workers": _listed((key.worker_id, found) for key, found in chosen),
            }

    def forget_session(self, session_id: str) -> None:
        """Let a session's own sum go; its calls stay in all others."""
        with self._lock:
            for key in [key for key in self._groups if key.session_id == session_id]:
                self._fold(key)

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._groups.clear()

    def _make_room(self) -> None:
        """Fold the groups that were longest unused. Those of an LM and worker alone stay: there are few."""
        kept = 0
        while len(self._groups) > self._max + kept:
            oldest = next(iter(self._groups))
            if oldest.coarser() == oldest:
                self._groups.move_to_end(oldest)
                kept += 1
            else:
                self._fold(oldest)

    def _fold(self, key: _Group) -> None:
        coarser = key.coarser()
        if coarser != key:
            self._groups.setdefault(coarser, Sum()).merge(self._groups.pop(key))
            self._groups.move_to_end(coarser)


def _merged(groups: Any) -> dict[str | None, Sum]:
    sums: dict[str | None, Sum] = {}
    for name, found in groups:
        sums.setdefault(name, Sum()).merge(found)
    return sums


def _listed(groups: Any) -> dict[str, dict[str, Any]]:
    return {name: found.to_dict() for name, found in _merged(groups).items() if name is not None}
