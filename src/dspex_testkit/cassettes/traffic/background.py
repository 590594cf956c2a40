"""Answers that a provider makes in the background: a request gets a number, and a later one what came of it."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dspex_testkit.cassettes.traffic.exchange import Exchange

_ASKED = re.compile(r"/responses$")
_ASKED_AGAIN = re.compile(r"/responses/(?P<id>[^/]+)$")
_WAITING = frozenset({"queued", "in_progress"})


def answered_later(exchanges: Mapping[int, Exchange]) -> dict[int, Exchange]:
    """Recorded exchanges by position, where requests that run in the background have the answers that came later.

    Those that asked whether the answer had come are left out, unless nothing is known of what they asked for.
    """
    waiting: dict[str, int] = {}
    found = dict(exchanges)
    for position, exchange in exchanges.items():
        again = _ASKED_AGAIN.search(exchange.path)
        if exchange.method == "POST" and _ASKED.search(exchange.path):
            said = _said(exchange)
            if said.get("status") in _WAITING and "id" in said:
                waiting[str(said["id"])] = position
        elif exchange.method == "GET" and again and again["id"] in waiting:
            del found[position]
            if exchange.status >= 400 or _said(exchange).get("status") in _WAITING:
                continue
            first = exchanges[waiting[again["id"]]]
            found[waiting.pop(again["id"])] = replace(first, answered=exchange.answered)
    return found


def _said(exchange: Exchange) -> dict[str, Any]:
    try:
        body = json.loads(exchange.answered)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
