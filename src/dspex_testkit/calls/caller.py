"""Who asked: what an engine cannot see, handed to it beside the request.

The bridge enters ``dspy.context(**{CALLER_SETTING: caller})`` around an execution. DSPy's settings travel into the
threads and tasks that DSPy starts (`dspy.Parallel`, `asyncify`, …), which a context variable of ours would not.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dspex_testkit.calls.call import LMCall, Scope
from dspex_testkit.calls.counters import Counters

CALLER_SETTING = "dspex_testkit_caller"
"""The key under which `dspy.settings` carries the `Caller` of an execution."""


class CallSink(Protocol):
    """Where calls are written: a `Journal`, or something in front of one."""

    @property
    def keeps_prompts(self) -> bool:
        """Whether calls are to be written with their prompts."""
        ...

    def record(self, call: LMCall) -> LMCall:
        """Take a finished call; returns it as kept."""
        ...

    def learn(self, secrets: Collection[str]) -> None:
        """Show these values in no call from here on."""
        ...


Gate = Callable[["Caller", Any, "LMCall | None", Any], "int | None"]


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf an LM answers, where its counters live, and where the call is to be written."""

    journal: CallSink | None = None
    counters: Counters | None = None
    """None: the LM uses its own."""
    scope: Scope | None = None
    program_id: str | None = None
    session_id: str | None = None
    worker_id: str | None = None
    lm_id: str | None = None
    gate: "Gate | None" = None
    """Refuses a call that is not to be made, by raising; None lets all through."""
    reports: list[dict[str, Any]] | None = None
    """Takes what an ensemble made of its members' answers."""

    def admit(self, request: Any = None, identity: LMCall | None = None, rates: Any = None) -> int | None:
        """Let one call through; asked before anything is sent.

        Args:
            request: What is to be asked.
            identity: Who is to be asked.
            rates: Its prices, where they are not those that are listed.

        Returns:
            What the finished call carries as its `reservation`.

        Raises:
            BudgetExceededError: A budget that the caller falls under is used up.
        """
        return None if self.gate is None else self.gate(self, request, identity, rates)

    def sign(self, call: LMCall) -> LMCall:
        """The call with this caller's name on it."""
        return replace(
            call,
            scope=self.scope,
            program_id=self.program_id,
            session_id=self.session_id,
            worker_id=self.worker_id,
            lm_id=self.lm_id,
        )
