"""What was recorded again and says what it said before keeps its old form, so that a diff shows what has changed.

When an answer came, how quickly, what it cost, what a provider's cache had of it, and headers that are new each time do
not count. Ids of tool calls do: later requests of the same recording quote them.
"""

import json
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.matching import key_of

_OF_A_CACHE = frozenset(
    {
        "cache_read_tokens",
        "cache_write_tokens",
        "cached_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation",
        "cachedContentTokenCount",
        "cacheTokensDetails",
    }
)
"""Fields of a usage, in canonical form and in those of the providers."""
_OF_A_REQUEST = frozenset(
    {"id", "created", "created_at", "completed_at", "system_fingerprint", "request_id", "responseId", "createTime"}
)
"""Top-level fields of a provider's body that no two answers share."""
_VOLATILE = re.compile(
    r"(x-|cf-).*|date|age|expires|etag|last-modified|server|server-timing|via|content-length|.*(request-id|ratelimit"
    r"|processing-ms|trace).*"
)
"""Headers of responses that are new each time."""


def with_unchanged(
    new: Iterable[Interaction], old: Iterable[Interaction], *, max_age: timedelta | None, now: datetime
) -> tuple[Interaction, ...]:
    """New LM calls, each as an old one where that says the same; equal ones in their order.

    Args:
        new: What was recorded now.
        old: What the file holds.
        max_age: Where the date counts: how old a recording may be.
        now: The present.
    """

    def fresh(interaction: Interaction) -> bool:
        return max_age is None or interaction.age_from is None or now - interaction.age_from <= max_age

    return tuple(_merged(new, [each for each in old if fresh(each)], _of_call))


def with_unchanged_traffic(
    new: Sequence[Any], old: Sequence[Any], *, max_age: timedelta | None, now: datetime
) -> list[Any]:
    """The same of HTTP traffic, in the form in which files hold it."""

    def fresh(item: Any) -> bool:
        date = (item["response"].get("recording") or {}).get("recorded_at")
        return max_age is None or date is None or now - datetime.fromisoformat(str(date)) <= max_age

    return list(_merged(new, [item for item in old if fresh(item)], _of_exchange))


def _merged(new: Iterable[Any], old: Iterable[Any], counts: Callable[[Any], Any]) -> Iterable[Any]:
    known: dict[bytes, deque[Any]] = defaultdict(deque)
    for each in old:
        known[key_of(counts(each))].append(each)
    for each in new:
        same = known.get(key_of(counts(each)))
        yield same.popleft() if same else each


def _of_call(interaction: Interaction) -> Any:
    error = interaction.error
    return [
        interaction.request,
        _without(interaction.response, _OF_A_CACHE),
        None if error is None else {key: error[key] for key in error.keys() - {"request_id", "retry_after"}},
        interaction.ended,
        None if interaction.chunks is None else [_without(chunk["event"], _OF_A_CACHE) for chunk in interaction.chunks],
        interaction.live_model,
    ]


def _of_exchange(item: Any) -> Any:
    response = item["response"]
    headers = {
        name.lower(): value
        for name, value in (response.get("headers") or {}).items()
        if not _VOLATILE.fullmatch(name.lower())
    }
    return [item["request"], response.get("status"), headers, _body(response.get("body"))]


def _body(body: Any) -> Any:
    text = body.get("string") if isinstance(body, dict) else body
    if isinstance(text, bytes):
        return text.hex()
    if not isinstance(text, str):
        return body
    whole = _value(text)
    if whole is not text:
        return whole
    # The events of a stream, line by line.
    return [_value(line.removeprefix("data:")) for line in text.splitlines()]


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key not in _OF_A_REQUEST}
    return _without(value, _OF_A_CACHE)


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list | tuple) else value
