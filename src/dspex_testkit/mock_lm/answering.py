"""One call on its way through an engine: fault, answer, delay, journal. Knows no waiting; that is the engine's part."""

from typing import TYPE_CHECKING, Any

import dspy
from dspy.lm15 import Response

from dspex_testkit.calls import Caller
from dspex_testkit.engines.entry import Entry, Outcome
from dspex_testkit.engines.lm_errors import as_lm_error
from dspex_testkit.engines.stream_events import is_chunk
from dspex_testkit.engines.values import to_json_mapping
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.fault_spec import FaultSpec
from dspex_testkit.mock_lm.faults import error_of, spoil
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.rendering import extract_fields
from dspex_testkit.mock_lm.reply import Reply, reply_to

if TYPE_CHECKING:
    from dspex_testkit.mock_lm.engine import MockEngine


class Answering:
    """One call: what is asked, what will be answered, what the journal will say."""

    __slots__ = (
        "_chunks",
        "_engine",
        "_entry",
        "_fault",
        "_latency",
        "_pauses",
        "_reply",
        "_rule",
        "call",
    )

    def __init__(self, engine: "MockEngine", call: MockCall, caller: Caller) -> None:
        self.call = call
        self._engine = engine
        self._entry = Entry(
            engine.identity,
            call.request,
            call.capture,
            caller,
            engine.journal,
            inputs=lambda: to_json_mapping(call.inputs),
            clock=engine.clock.now,
        )
        self._reply: Reply | None = None
        self._rule: str | None = None
        self._fault: FaultSpec | None = None
        self._latency = 0.0
        self._pauses: Any = None
        self._chunks: int | None = None

    @property
    def response(self) -> Response:
        """The answer as DSPy takes it; only once there is one."""
        assert self._reply is not None
        return self._reply.response(self.call.request.model)

    def meet_fault(self) -> None:
        """Look whether this call is struck by a fault of the mock's schedule.

        Raises:
            LM15Error: The fault takes the place of the answer.
        """
        faults = self._engine.faults
        self._fault = None if faults is None else faults.strike(self.call)
        if self._fault is not None:
            self._raise(self._fault)

    def extracted(self) -> Answer | None:
        """For TwoStep's second call the values of its draft, unless this mock was given answers of its own."""
        capture = self.call.capture
        if capture is None or capture.outer is None:
            return None
        same_mock = getattr(capture.outer.lm, "engine", None) is self._engine
        if not same_mock and self._engine.spec.mode not in ("derived", "random"):
            return None
        fields = extract_fields(capture.signature, str(capture.inputs["text"]))
        return None if fields is None else Answer(rule="extracted", fields=fields)

    def answer(self, answer: Answer) -> None:
        """Take a decided answer.

        Raises:
            AnswerError: It does not fit.
            LM15Error: The answer is a fault.
        """
        self._rule = answer.rule
        fault = answer.fault or self._fault
        if answer.fault is not None:
            self._fault = answer.fault
            self._raise(answer.fault)
        reply = reply_to(self.call, answer, self._engine.maker_for, self._engine.price)
        self._reply = reply if fault is None else spoil(reply, fault, self.call)
        self._latency = self._engine.timing.latency(self.call, answer)

    def delay(self, *, streamed: bool) -> float:
        """Seconds until the answer is there."""
        stalled = self._fault is not None and self._fault.kind == "stall" and not streamed
        return self._latency + (self._fault.stall_ms / 1000 if stalled and self._fault is not None else 0.0)

    def before_event(self, event: Any) -> float:
        """Seconds before an event of the stream.

        Raises:
            LM15Error: The stream drops here.
        """
        if not is_chunk(event):
            return self._begin_stream() if event.type == "start" else 0.0
        chunk = self._chunks or 0
        delay: float = 0.0 if self._pauses is None else self._pauses.before(chunk)
        fault = self._fault
        if fault is not None and chunk == fault.after_chunks:
            if fault.kind == "dropped_stream":
                error = error_of(fault, self.call)
                assert error is not None
                raise error
            if fault.kind == "stall":
                delay += fault.stall_ms / 1000
        self._chunks = chunk + 1
        return delay

    def finish(self) -> Response:
        """Write the journal and hand out the answer."""
        self.record()
        return self.response

    def fail(self, error: Exception) -> Exception:
        """Write the journal; what is to be raised."""
        if isinstance(error, DSPexTestkitError):
            self.record(error=error.message)
            spec = self._engine.spec
            note = f" The mock's seed is {spec.seed!r}." if spec.mode == "random" else ""
            return as_lm_error(error, model=self.call.request.model, note=note)
        self.record(error=f"{type(error).__name__}: {error}")
        return error

    def abandon(self, reason: BaseException) -> None:
        """Write the journal where nobody waits for the answer any more: cancelled, interrupted, stream closed."""
        self.record(error=f"abandoned: {type(reason).__name__}")

    def record(self, *, error: str | None = None) -> None:
        """Write the journal."""
        reply = self._reply
        outcome: Outcome = {
            "rule": self._rule,
            "fault": None if self._fault is None else self._fault.kind,
            "error": error,
            "stream_chunks": self._chunks,
            "seed": self._engine.spec.seed,
        }
        if reply is not None:
            # What was about to be said is told even where it never arrived whole.
            outcome["completion"] = reply.text
            outcome["parts"] = tuple([part.type for part in reply.message.parts])
            if error is None:
                outcome["outputs"] = to_json_mapping(reply.outputs)
                outcome["finish_reason"] = reply.finish_reason
                outcome["usage"] = reply.usage
                outcome["cost"] = reply.cost
        self._entry.write(outcome)

    def _begin_stream(self) -> float:
        self._chunks = 0
        self._pauses = self._engine.timing.pauses(self.call)
        return self.delay(streamed=True)

    def _raise(self, fault: FaultSpec) -> None:
        if fault.kind == "dropped_stream" and dspy.settings.send_stream is not None:
            return
        error = error_of(fault, self.call)
        if error is not None:
            raise error
