"""A real provider's LM, whose calls are let in and journaled like a mock's."""

import time
from dataclasses import replace
from typing import Any

import dspy
from dspy.lm15 import Request, Response

from dspex_testkit.calls import Caller, Journal, LMCall
from dspex_testkit.dspy_internals.call_stack import Capture, current_call
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.engines.prompts import prompt_for
from dspex_testkit.engines.responses import inputs_of, outputs_of, signature_of, text_of, usage_of
from dspex_testkit.lm.config import LMConfig
from dspex_testkit.lm.keys import find_key
from dspex_testkit.lm.parts import AskedLM


def provider_lm(config: LMConfig, key: str | None) -> Any:
    """The `dspy.LM` that asks the provider of a config. How many answers are wanted, each request says."""
    connection = {"api_key": key, "api_base": config.api_base}
    return dspy.LM(
        config.dspy_model,
        cache=False,
        **{name: value for name, value in config.params.items() if name != "n"},
        **{name: value for name, value in connection.items() if value is not None},
    )


class LivePart:
    """Asks a provider.

    Args:
        config: Which model, with which key, where.

    Raises:
        MissingKeyError: The key is nowhere to be found.
    """

    def __init__(self, config: LMConfig) -> None:
        lm = provider_lm(config, find_key(config))
        self.identity = LMCall(provider=config.provider, model=config.model, mocked=False, engine="live")
        self.journal = Journal()
        self._asked = AskedLM(lm, config.params, self.identity)

    def complete(self, request: Request) -> Response:
        """Ask, and write down what came of it."""
        watched = self._begin(request)
        try:
            response = self._asked.complete(request)
        except BaseException as error:
            watched.failed(error)
            raise
        return watched.answered(response)

    async def acomplete(self, request: Request) -> Response:
        """Ask asynchronously; a cancelled call is written down too."""
        watched = self._begin(request)
        try:
            response = await self._asked.acomplete(request)
        except BaseException as error:
            watched.failed(error)
            raise
        return watched.answered(response)

    def close(self) -> None:
        """Close its connections."""
        self._asked.close()

    def _begin(self, request: Request) -> "_Watched":
        caller = caller_now()
        caller.admit()
        return _Watched(self, request, caller, current_call().capture)


class _Watched:
    """One call on its way to the journal."""

    def __init__(self, part: LivePart, request: Request, caller: Caller, capture: Capture | None) -> None:
        self._part = part
        self._request = request
        self._caller = caller
        self._capture = capture
        self._started = time.perf_counter()

    def answered(self, response: Response) -> Response:
        identity = self._part.identity
        self._record(
            outputs=outputs_of(self._capture, response),
            completion=text_of(response),
            finish_reason=str(response.finish_reason),
            usage=usage_of(identity.provider, identity.model, response),
        )
        return response

    def failed(self, error: BaseException) -> None:
        self._record(error=f"{type(error).__name__}: {error}")

    def _record(self, **found: Any) -> None:
        journal = self._caller.journal if self._caller.journal is not None else self._part.journal
        journal.record(
            replace(
                self._caller.sign(self._part.identity),
                signature=signature_of(self._capture),
                inputs=inputs_of(self._capture, self._request),
                prompt=prompt_for(journal, self._part.identity.provider_model, self._request, self._capture),
                latency_ms=(time.perf_counter() - self._started) * 1000,
                time=time.time(),
                **found,
            )
        )
