"""A real provider's LM, whose calls are journaled like a mock's."""

import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import dspy

from dspex_testkit.calls import CALLER_SETTING, Caller, LMCall, Usage
from dspex_testkit.lm.config import LMConfig


class LiveLM(dspy.LM):  # type: ignore[misc]  # dspy has no types
    """`dspy.LM` for a config, writing each call into the journal of whoever asked.

    DSPy hands every finished call to `update_history`; that is where it is written down. Its own history stays
    empty, because a long-lived bridge would only pile it up.
    """

    def __init__(self, config: LMConfig) -> None:
        key = config.api_key.get_secret_value() if config.api_key else None
        connection = {"api_key": key, "api_base": config.api_base}
        super().__init__(
            config.dspy_model,
            cache=False,
            **config.params,
            **{name: value for name, value in connection.items() if value is not None},
        )
        self.identity = LMCall(provider=config.provider, model=config.model, mocked=False, engine="live")

    def update_history(self, entry: dict[str, Any]) -> None:
        """Write a finished call into the caller's journal."""
        caller = dspy.settings.get(CALLER_SETTING)
        if not isinstance(caller, Caller) or caller.journal is None:
            return
        usage = entry.get("usage") or {}
        cost = entry.get("cost")
        outputs = entry.get("outputs") or []
        caller.journal.record(
            replace(
                caller.sign(self.identity),
                completion="\n".join(str(output) for output in outputs),
                usage=Usage(input_tokens=usage.get("prompt_tokens"), output_tokens=usage.get("completion_tokens")),
                cost=None if cost is None else Decimal(str(cost)),
                time=time.time(),
            )
        )
