"""`Answered`: a response with what the journal says of it, read once however often it is played."""

from collections.abc import Mapping
from typing import Any

from dspy.lm15 import Response

from dspex_testkit.calls import LMCall, Usage
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.dspy_internals.wire import response_from_dict
from dspex_testkit.engines.responses import outputs_of, usage_of


class Answered:
    """A response, recorded or fresh.

    Args:
        response: As it came.
        record: As it was kept, where it is played again.
    """

    __slots__ = ("_outputs", "_record", "_response", "_usage", "parts")

    def __init__(self, response: Response, record: Mapping[str, Any] | None = None) -> None:
        self._response = response
        # A response is a value, except for the arguments of tool calls, which a program may change.
        self._record = record if response.tool_calls else None
        self.parts = tuple(part.type for part in response.message.parts)
        # What was read last, with what it was read for: a test asks by one signature through one LM.
        self._outputs: tuple[Any, Any, Mapping[str, Any] | None] | None = None
        self._usage: tuple[LMCall, Usage] | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Answered":
        """A recorded response."""
        return cls(response_from_dict(dict(record)), record)

    @property
    def response(self) -> Response:
        """The response, which nobody else may change."""
        return self._response if self._record is None else response_from_dict(dict(self._record))

    def outputs(self, capture: Capture | None) -> Mapping[str, Any] | None:
        """The values that the program reads, as JSON."""
        # Adapters of one kind read alike; DSPy makes a new one for each call where nobody chose one.
        signature, adapter = (None, None) if capture is None else (capture.signature, type(capture.adapter))
        known = self._outputs
        if known is None or known[0] is not signature or known[1] is not adapter:
            known = self._outputs = (signature, adapter, outputs_of(capture, self._response))
        return known[2]

    def usage(self, identity: LMCall) -> Usage:
        """The tokens, counted as for every other LM of this identity."""
        known = self._usage
        if known is None or known[0] is not identity:
            known = self._usage = (identity, usage_of(identity.provider, identity.model, self._response))
        return known[1]
