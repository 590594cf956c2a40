"""Asking the recorded LMs again, without the program that asked them first."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import LM15Error, Request, materialize_response

from dspex_testkit.cassettes import ask_live
from dspex_testkit.cassettes.drift import Comparator, Drift, compare, same_words, unanswered
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.tools.hygiene import calls_of
from dspex_testkit.dspy_internals.file_names import is_named
from dspex_testkit.dspy_internals.model_list import cost_of
from dspex_testkit.dspy_internals.wire import error_to_dict, request_from_dict, response_from_dict, response_to_dict
from dspex_testkit.errors import CassetteFormatError, UsageError


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A recorded call that is to be asked again."""

    path: Path
    position: int
    model: str
    """Which model is asked."""
    request: Request
    recorded: Interaction
    cost: Decimal | None
    """What the recorded answer cost, or would cost of this model; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The recorded calls that will be asked again, and what that will cost."""

    files: tuple[Path, ...]
    calls: tuple[PlannedCall, ...]
    total: int
    """How many calls there are, with those that are not chosen."""
    skipped: tuple[str, ...]
    """What cannot be asked again, and why; one line each."""

    @property
    def cost(self) -> Decimal:
        """What the calls cost, as far as that is known."""
        return sum((call.cost for call in self.calls if call.cost is not None), Decimal(0))

    @property
    def unpriced(self) -> int:
        """How many calls have no known price."""
        return sum(call.cost is None for call in self.calls)

    def __str__(self) -> str:
        chosen = "" if len(self.calls) == self.total else f" of {self.total}, chosen at random,"
        unknown = f", and {self.unpriced} whose price nobody knows" if self.unpriced else ""
        return f"Asking {len(self.calls)} recorded calls{chosen} again, for about {self.cost:f} USD{unknown}"


def plan_verification(
    paths: Iterable[Path], *, model: str | None = None, sample: int | None = None, budget: Decimal | None = None
) -> Plan:
    """Choose the recorded calls to ask again, without asking yet.

    HTTP traffic is read as the LM calls that it is: what was sent is known, with which key and where is not.

    Args:
        paths: Cassettes of either level.
        model: The model to ask, in place of the recorded ones.
        sample: How many calls to choose at random; all if None.
        budget: The US dollars that may be spent.

    Raises:
        CassetteError: A file is no cassette, or holds no LM call.
        UsageError: It would cost more than may be spent, or nobody knows whether it would.
    """
    files, calls, skipped = tuple(paths), list[PlannedCall](), list[str]()
    for path in files:
        recordings, unread = calls_of(path)
        skipped += unread
        for position, recorded in recordings:
            if recorded.ended is not None:
                skipped.append(
                    f"{path}: interactions[{position}]: it has no answer to compare: it was {recorded.ended}"
                )
            elif _holds_named_file(recorded.request):
                skipped.append(
                    f"{path}: interactions[{position}]: it holds a named file, which only its program can send"
                )
            else:
                calls.append(_planned(path, position, recorded, model))
    chosen = calls
    if sample is not None and sample < len(calls):
        chosen = [calls[index] for index in sorted(random.sample(range(len(calls)), sample))]
    plan = Plan(files, tuple(chosen), len(calls), tuple(skipped))
    if budget is not None and plan.unpriced:
        raise UsageError(f"{plan}: nobody can say whether the budget of {budget:f} USD is enough; leave --budget out")
    if budget is not None and plan.cost > budget:
        raise UsageError(f"{plan}: that is more than the budget of {budget:f} USD; ask fewer with --sample")
    return plan


@dataclass(slots=True)
class Verified:
    """What came of a file."""

    path: Path
    drifts: list[Drift] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    """What could not be compared, and why; one line each."""


def verify(
    plan: Plan, *, api_base: str | None = None, budget: Decimal | None = None, comparator: Comparator = same_words
) -> Iterator[Verified]:
    """Ask again what was planned and compare the answers, file by file. Nothing is written.

    A recorded stream is asked as a stream. An LM that lacks its key is asked once, and no further.

    Args:
        plan: What to ask.
        api_base: Where to ask, in place of the providers' addresses.
        budget: The US dollars that may be spent; nothing more is asked when they are.
        comparator: Whether two texts say the same.
    """
    with ExitStack() as clean_up:
        asking = _Asking(api_base, budget, clean_up)
        for path in plan.files:
            yield asking.verify(path, [call for call in plan.calls if call.path == path], comparator)


class _Asking:
    def __init__(self, api_base: str | None, budget: Decimal | None, clean_up: ExitStack) -> None:
        self._connection = {"api_base": api_base} if api_base else {}
        self._budget = budget
        self._clean_up = clean_up
        self._lms: dict[str, Any] = {}
        self._keyless: dict[str, str] = {}
        self._spent = Decimal(0)

    def verify(self, path: Path, calls: Sequence[PlannedCall], comparator: Comparator) -> Verified:
        done = Verified(path)
        for call in calls:
            place = f"{path}: interactions[{call.position}]"
            if self._budget is not None and self._spent >= self._budget:
                done.unasked.append(f"{place}: the budget of {self._budget:f} USD is spent")
                continue
            if (why := self._keyless.get(call.model)) is not None:
                done.unasked.append(f"{place}: {call.model}: {why}")
                continue
            live = self._ask(call)
            if (why := unanswered(call.recorded, live)) is not None:
                if (live.error or {}).get("code") in ("not_configured", "auth"):
                    self._keyless[call.model] = why
                done.unasked.append(f"{place}: {call.model}: {why}")
                continue
            drift = compare(call.recorded, live, position=call.position, comparator=comparator)
            if drift is not None:
                done.drifts.append(drift)
        return done

    def _ask(self, call: PlannedCall) -> Interaction:
        lm, written = self._lm(call.model), call.recorded.request
        started = time.perf_counter()
        try:
            if call.recorded.chunks is not None:
                response = materialize_response(ask_live.stream(lm, call.request), call.request)
            else:
                response = ask_live.ask(lm, call.request)
        except LM15Error as error:
            return Interaction(written, error=error_to_dict(error))
        self._spent += cost_of(call.model, call.request, response) or Decimal(0)
        elapsed = (time.perf_counter() - started) * 1000
        return Interaction(written, response=response_to_dict(response), elapsed_ms=elapsed)

    def _lm(self, model: str) -> Any:
        if model not in self._lms:
            self._lms[model] = dspy.LM(model, cache=False, **self._connection)
            self._clean_up.callback(self._lms[model].close)
        return self._lms[model]


def _holds_named_file(request: dict[str, Any]) -> bool:
    messages = request.get("messages") or []
    parts = [part for message in messages for part in message.get("parts") or []]
    return any(is_named(part.get("media_type")) for part in parts if part.get("type") == "document")


def _planned(path: Path, position: int, recorded: Interaction, model: str | None) -> PlannedCall:
    try:
        request = request_from_dict(recorded.request)
        wanted = model or recorded.live_model or recorded.model
        cost = recorded.cost
        if recorded.response is not None and (model is not None or cost is None):
            cost = cost_of(wanted, request, response_from_dict(recorded.response))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CassetteFormatError(f"{path}: interactions[{position}] cannot be read: {error}") from error
    # A call that fails as it did costs nothing.
    return PlannedCall(path, position, wanted, request, recorded, Decimal(0) if recorded.error is not None else cost)
