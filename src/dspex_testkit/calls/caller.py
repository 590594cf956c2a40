"""Who asked: what an engine cannot see, handed to it beside the request.

The bridge enters ``dspy.context(**{CALLER_SETTING: caller})`` around an execution. DSPy's settings travel into the
threads and tasks that DSPy starts (`dspy.Parallel`, `asyncify`, …), which a context variable of ours would not.
"""

from dataclasses import dataclass

from dspex_testkit.calls.call import Scope
from dspex_testkit.calls.journal import Journal

CALLER_SETTING = "dspex_testkit_caller"
"""The key under which `dspy.settings` carries the `Caller` of an execution."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf an LM answers, and where the call is to be written."""

    journal: Journal | None = None
    scope: Scope | None = None
    program_id: str | None = None
    session_id: str | None = None
    worker_id: str | None = None
    lm_id: str | None = None
