"""On whose behalf an engine is asked."""

import dspy

from dspex_testkit.calls import CALLER_SETTING, Caller

_NO_CALLER = Caller()


def caller_now() -> Caller:
    """On whose behalf DSPy is calling."""
    caller = dspy.settings.get(CALLER_SETTING)
    return caller if isinstance(caller, Caller) else _NO_CALLER
