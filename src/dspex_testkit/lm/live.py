"""A real provider's LM, whose calls are let in and journaled like a mock's."""

from typing import Any

import dspy
from dspy.lm15 import Request, Response

from dspex_testkit.calls import Journal, LMCall
from dspex_testkit.dspy_internals.call_stack import current_call
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.engines.entry import Entry
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.keys import find_key
from dspex_testkit.lm.members import AskedLM


def provider_lm(config: LMConfig, key: str | None) -> Any:
    """The `dspy.LM` that asks the provider of a config. How many answers are wanted, each request says."""
    connection = {"api_key": key, "api_base": config.api_base}
    return dspy.LM(
        config.dspy_model,
        cache=False,
        **{name: value for name, value in config.params.items() if name != "n"},
        **{name: value for name, value in connection.items() if value is not None},
    )


class LiveMember:
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
        entry = self._begin(request)
        try:
            response = self._asked.complete(request)
        except BaseException as error:
            entry.failed(error)
            raise
        entry.answered(response)
        return response

    async def acomplete(self, request: Request) -> Response:
        """Ask asynchronously; a cancelled call is written down too."""
        entry = self._begin(request)
        try:
            response = await self._asked.acomplete(request)
        except BaseException as error:
            entry.failed(error)
            raise
        entry.answered(response)
        return response

    def close(self) -> None:
        """Close its connections."""
        self._asked.close()

    def _begin(self, request: Request) -> Entry:
        caller = caller_now()
        reservation = caller.admit(request, self.identity)
        capture = current_call().capture
        return Entry(self.identity, request, capture, caller, self.journal, reservation=reservation)
