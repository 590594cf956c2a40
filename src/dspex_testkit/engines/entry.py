"""The one maker of journal entries: a call that has begun, and is written down once, however it ends.

What is known at the start (who asks, which LM stands for the answer, what is asked, when) is taken then; whoever
answers adds what came of it. Mocks, recordings, live LMs, remembered answers, ensembles and watched LMs all write
their calls here, so that a field of `LMCall` means the same whoever answered.
"""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypedDict

from dspy.lm15 import Request, Response

from dspex_testkit.calls import Caller, CallSink, LMCall, Usage
from dspex_testkit.calls.prices import contradiction
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.prompts import prompt_of
from dspex_testkit.engines.responses import inputs_of, outputs_of, signature_of, text_of, usage_of
from dspex_testkit.redaction import redact_error


class Outcome(TypedDict, total=False):
    """What came of a call: the fields of `LMCall` that its beginning does not tell."""

    mocked: bool
    engine: str
    outputs: Mapping[str, Any] | None
    completion: str | None
    parts: tuple[str, ...]
    finish_reason: str | None
    usage: Usage
    cost: Decimal | None
    rule: str | None
    fault: str | None
    error: str | None
    stream_chunks: int | None
    seed: int | str | None
    cache_hit: bool
    call_id: str | None
    details: Mapping[str, Any] | None


class Entry:
    """One call on its way into a journal.

    Args:
        identity: The LM that the call is of: its provider, model, engine, and whether it is a mock.
        request: What is asked; None where nobody can say.
        capture: What the calling adapter knew, or None.
        caller: On whose behalf the LM is asked.
        own_journal: Where the call goes that nobody asked for who has a journal.
        inputs: The inputs as JSON values, where the caller of this has them already.
        clock: Gives seconds; by it the latency is measured.
        reservation: What budgets keep free for the call.
    """

    __slots__ = ("_clock", "_inputs", "_started", "caller", "capture", "identity", "journal", "request", "reservation")

    def __init__(
        self,
        identity: LMCall,
        request: Request | None,
        capture: Capture | None,
        caller: Caller,
        own_journal: CallSink,
        *,
        inputs: Callable[[], Mapping[str, Any]] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        reservation: int | None = None,
    ) -> None:
        self.reservation = reservation
        self.request = request
        self.capture = capture
        self.caller = caller
        self.journal = caller.journal if caller.journal is not None else own_journal
        self.identity = identity
        self._inputs = inputs
        self._clock = clock
        self._started = clock()

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the call began."""
        return (self._clock() - self._started) * 1000

    def answered(self, response: Response, outcome: Outcome | None = None) -> LMCall:
        """Write down an answer as the program's adapter reads it.

        Args:
            response: What was answered.
            outcome: What is known better than the response tells, and what it does not tell.
        """
        told: Outcome = {
            "outputs": outputs_of(self.capture, response),
            "completion": text_of(response),
            "parts": tuple([part.type for part in response.message.parts]),
            "finish_reason": str(response.finish_reason),
            "usage": usage_of(self.identity.provider, self.identity.model, response),
        }
        if outcome is not None:
            told.update(outcome)
        return self.write(told)

    def failed(self, error: BaseException) -> LMCall:
        """End the entry without an answer: with the class and message of a failure, or as cancelled."""
        name = type(error).__name__
        text = f"{name}: {error}" if isinstance(error, Exception) else f"abandoned: {name}"
        return self.write({"error": text})

    def write(self, outcome: Outcome) -> LMCall:
        """Write down what came of the call, and nothing that was not said; returns it as the journal keeps it."""
        if (error := outcome.get("error")) is not None:
            # Providers quote keys. Whoever knows which keys there are cuts those out of the rest, too.
            outcome = {**outcome, "error": redact_error(error)}
        identity, caller, capture = self.identity, self.caller, self.capture
        keeps_prompts = self.journal.keeps_prompts
        usage = outcome.get("usage")
        if usage is not None and (reason := contradiction(usage)) is not None:
            outcome = {**outcome, "details": {**(outcome.get("details") or {}), "unpriced": reason}}
        fields: dict[str, Any] = {
            "mocked": identity.mocked,
            "engine": identity.engine,
            "latency_ms": self.elapsed_ms,
            **outcome,
        }
        return self.journal.record(
            LMCall(
                provider=identity.provider,
                model=identity.model,
                scope=caller.scope,
                program_id=caller.program_id,
                session_id=caller.session_id,
                worker_id=caller.worker_id,
                lm_id=caller.lm_id,
                signature=signature_of(capture),
                inputs=self._given(),
                prompt=prompt_of(identity.provider_model, self.request, capture) if keeps_prompts else None,
                time=time.time(),
                reservation=self.reservation,
                **fields,
            )
        )

    def _given(self) -> Mapping[str, Any]:
        if self._inputs is not None:
            return self._inputs()
        return inputs_of(self.capture, self.request)
