"""A member whose answers are remembered."""

from decimal import Decimal
from typing import Any

from dspy.lm15 import Request, Response

from dspex_testkit.calls import Journal, Usage
from dspex_testkit.dspy_internals.call_stack import Capture, current_call
from dspex_testkit.dspy_internals.wire import request_to_dict, response_from_dict, response_to_dict
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.engines.entry import Entry
from dspex_testkit.engines.responses import outputs_of, text_of, usage_of
from dspex_testkit.lm.cache.responses import ResponseCache, Where
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.members import Member


class CachedMember:
    """Asks another member only for what is not remembered.

    A hit asks nobody and costs nothing; it is in the journal with the usage of the call that was remembered, and
    counts against no budget. Of several answers that a call asks for (`n`), each is remembered by itself. Failures are
    not remembered: errors, and answers that were cut off, held back, empty, or that their adapter cannot read.

    Args:
        member: Asked where nothing is remembered.
        config: Who that is; part of the key.
        cache: Remembers.
        where: In memory or on disk.
        ttl_s: Seconds for which an answer is remembered; None without end.
    """

    def __init__(
        self, member: Member, config: LMConfig, cache: ResponseCache, where: Where, ttl_s: float | None
    ) -> None:
        self.identity = member.identity
        self.journal = Journal()
        self._member = member
        self._config = config
        self._cache = cache
        self._where = where
        self._ttl_s = ttl_s

    def complete(self, request: Request) -> Response:
        """Remember or ask."""
        key = self._key(request)
        known = self._recall(key, request)
        return known if known is not None else self._keep(key, self._member.complete(request))

    async def acomplete(self, request: Request) -> Response:
        """Remember or ask, asynchronously. Reading an entry takes less time than handing it to a thread."""
        key = self._key(request)
        known = self._recall(key, request)
        return known if known is not None else self._keep(key, await self._member.acomplete(request))

    def close(self) -> None:
        """Close what is asked; the cache belongs to the factory."""
        self._member.close()

    def _key(self, request: Request) -> str:
        call = current_call()
        rollout = call.params.get("rollout_id")
        key = self._cache.key(self._config, self.identity.engine, request_to_dict(request), rollout)
        number = call.asked[key] = call.asked.get(key, -1) + 1
        return f"{key} {number}" if number else key

    def _keep(self, key: str, response: Response) -> Response:
        if _has_failed(current_call().capture, response):
            return response
        usage = usage_of(self.identity.provider, self.identity.model, response)
        counted = {name: getattr(usage, name) for name in usage.__slots__}
        entry = {"response": response_to_dict(response), "usage": counted}
        self._cache.put(self._where, key, entry, self._ttl_s)
        return response

    def _recall(self, key: str, request: Request) -> Response | None:
        entry = Entry(self.identity, request, current_call().capture, caller_now(), self.journal)
        known = self._cache.get(self._where, key, _read)
        if known is None:
            return None
        response, usage = known
        entry.answered(
            response, {"usage": usage, "cost": Decimal(0), "rule": f"cache: {self._where}", "cache_hit": True}
        )
        return response


def _has_failed(capture: Capture | None, response: Response) -> bool:
    """Whether asking again may do better."""
    if str(response.finish_reason) in ("length", "content_filter"):
        return True
    if not text_of(response) and not response.tool_calls:
        return True
    return capture is not None and capture.stage == "answer" and outputs_of(capture, response) is None


def _read(entry: Any) -> tuple[Response, Usage]:
    return response_from_dict(entry["response"]), Usage(**entry["usage"])
