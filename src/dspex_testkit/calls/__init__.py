"""The LM call as a value: what was asked, who asked, which LM answered.

This room knows no engine and no bridge. Engines write `LMCall` values into a `Journal`; everybody else reads them.
"""

from dspex_testkit.calls.accounts import Accounts
from dspex_testkit.calls.budgets import BRIDGE, Estimate, Holder, Limits
from dspex_testkit.calls.call import LMCall, Scope, Usage
from dspex_testkit.calls.caller import CALLER_SETTING, Caller, CallSink
from dspex_testkit.calls.change import LMChange
from dspex_testkit.calls.counters import Counters, CountersByLM, LocalCounters
from dspex_testkit.calls.journal import ANY_SESSION, Journal
from dspex_testkit.calls.prompt import Prompt

__all__ = [
    "ANY_SESSION",
    "BRIDGE",
    "CALLER_SETTING",
    "Accounts",
    "CallSink",
    "Caller",
    "Counters",
    "CountersByLM",
    "Estimate",
    "Holder",
    "Journal",
    "LMCall",
    "LMChange",
    "Limits",
    "LocalCounters",
    "Prompt",
    "Scope",
    "Usage",
]
