"""A recorded HTTP response beside the one that the provider gives today."""

import json
from typing import Any

from dspex_testkit.cassettes.drift import Comparator, Drift, Severity, compare, keys_of
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.traffic.exchange import Exchange
from dspex_testkit.cassettes.traffic.reading import read_exchange
from dspex_testkit.errors import CassetteFormatError

_NEW_EACH_TIME = frozenset(
    {"id", "created", "created_at", "completed_at", "system_fingerprint", "request_id", "responseId", "createTime"}
)
"""Fields that no two responses share."""


def compare_exchanges(recorded: Exchange, live: Exchange, *, position: int, comparator: Comparator) -> Drift | None:
    """The gravest difference between two responses to one request; None where they agree.

    Answers of LMs are compared as LM calls are, whatever the traffic looks like. Other traffic is compared as JSON.
    """
    if recorded.status != live.status:
        what = f"the status was {recorded.status}, is {live.status}"
        return Drift(Severity.SCHEMA, what, _text(recorded), _text(live), position)
    try:
        before, now = read_exchange(recorded).interactions, read_exchange(live).interactions
    except CassetteFormatError:
        return _compare_bodies(recorded, live, position, comparator)
    return _compare_answers(before, now, position, comparator)


def _compare_answers(
    before: tuple[Interaction, ...], now: tuple[Interaction, ...], position: int, comparator: Comparator
) -> Drift | None:
    if len(before) != len(now):
        what = f"there were {len(before)} answers, there are {len(now)}"
        return Drift(Severity.SCHEMA, what, before[0].text, now[0].text, position)
    found = [compare(old, new, position=position, comparator=comparator) for old, new in zip(before, now, strict=True)]
    return max((drift for drift in found if drift is not None), key=lambda drift: drift.severity, default=None)


def _compare_bodies(recorded: Exchange, live: Exchange, position: int, comparator: Comparator) -> Drift | None:
    before, now = _text(recorded), _text(live)
    old, new = keys_of(_stable(_value(recorded))), keys_of(_stable(_value(live)))
    if old != new:
        return Drift(Severity.SCHEMA, f"the body's shape was {old}, is {new}", before, now, position)
    return None if comparator(before, now) else Drift(Severity.TEXT, "the body differs", before, now, position)


def _text(exchange: Exchange) -> str:
    value = _stable(_value(exchange))
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _value(exchange: Exchange) -> Any:
    text = exchange.answered.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items() if key not in _NEW_EACH_TIME}
    return [_stable(item) for item in value] if isinstance(value, list) else value
