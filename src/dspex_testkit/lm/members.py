"""Members that answer a canonical request: an LM, a cache before one, several LMs as one.

A member is what `ComposedLM` puts behind DSPy's `LM`. It says who it is, answers, and closes what it holds.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Protocol

import dspy
from dspy.lm15 import Config, Request, Response, request_from_openai_chat

from dspex_testkit.calls import LMCall, LocalCounters
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.mock_lm import MockLM

CONNECTION_PARAMS = frozenset({"timeout", "num_retries"})
"""Parameters that concern how an LM is reached, not what it is asked."""
_NOT_SAMPLING = CONNECTION_PARAMS | {"n"}
_UNASKED = Config()


class Member(Protocol):
    """Answers canonical requests."""

    identity: LMCall
    """What the journal says of every call: provider, model, engine, whether it is mocked."""

    def complete(self, request: Request) -> Response:
        """Answer; raises DSPy's own errors."""
        ...

    async def acomplete(self, request: Request) -> Response:
        """Answer without holding up the event loop; may be cancelled."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class BridgedMockLM(MockLM):
    """A mock that may also stand behind another LM, whose signature it then answers.

    `MockLM` looks for the adapter that calls it. Asked with a request that another LM has received, perhaps in
    another thread, it is to keep what that one saw.
    """

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer."""
        if isinstance(prompt, Request):
            return dspy.LM.__call__(self, prompt, **kwargs)
        return super().__call__(prompt, messages=messages, **kwargs)

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer asynchronously."""
        if isinstance(prompt, Request):
            return await dspy.LM.acall(self, prompt, **kwargs)
        return await super().acall(prompt, messages=messages, **kwargs)


class CallersCounters:
    """The counters of the current caller, so that one LM can serve scopes that count separately."""

    def __init__(self) -> None:
        self._own = LocalCounters()

    def next_index(self, key: str) -> int:
        """Fetch and increment, in the counters of the caller's assignment."""
        counters = caller_now().counters
        return (self._own if counters is None else counters).next_index(key)


class AskedLM:
    """A `dspy.LM` as a member.

    Args:
        lm: The LM; it keeps its own retries and, if it is a mock, its own journaling.
        params: Parameters of its own, for what a request leaves open.
        identity: Who it is.
    """

    def __init__(self, lm: Any, params: Mapping[str, Any], identity: LMCall) -> None:
        self.identity = identity
        self.lm = lm
        self._own = own_settings(params)

    def complete(self, request: Request) -> Response:
        """Ask the LM."""
        with dspy.context(send_stream=None, usage_tracker=None):
            response: Response = self.lm(self._addressed(request))
            return response

    async def acomplete(self, request: Request) -> Response:
        """Ask the LM asynchronously."""
        with dspy.context(send_stream=None, usage_tracker=None):
            response: Response = await self.lm.acall(self._addressed(request))
            return response

    def close(self) -> None:
        """Close its connections."""
        self.lm.close()

    def _addressed(self, request: Request) -> Request:
        config = request.config
        added = {name: value for name, value in self._own.items() if getattr(config, name) in (None, ())}
        return replace(request, model=self.lm.model, config=replace(config, **added) if added else config)


def own_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as fields of a request's config, without those that the config leaves at their default."""
    sampling = {name: value for name, value in params.items() if name not in _NOT_SAMPLING}
    if not sampling:
        return {}
    body = {"model": "any", "messages": [{"role": "user", "content": "-"}], **sampling}
    config = request_from_openai_chat(body).config
    return {f.name: value for f in fields(config) if (value := getattr(config, f.name)) != getattr(_UNASKED, f.name)}
