"""The parts of DSPy that recording needs and DSPy does not publish, in one place.

`dspy.lm15` publishes the canonical types, but neither their JSON form nor the classes of its HTTP transport, and DSPy
publishes no way to ask an LM for the engine of one request. `tests/cassettes/test_dspy_wire.py` fails loudly when one
of these moves.
"""

from decimal import Decimal
from typing import Any

from dspy._vendor.lm15.errors import canonical_error_code, error_class_for_code
from dspy._vendor.lm15.serde import (
    request_from_dict,
    request_to_dict,
    response_from_dict,
    response_to_dict,
    stream_event_from_dict,
    stream_event_to_dict,
)
from dspy._vendor.lm15.sse import parse_sse
from dspy._vendor.lm15.transports import (
    AsyncTransportResponse,
    StdlibAsyncTransport,
    StdlibTransport,
    TransportRequest,
    TransportResponse,
)
from dspy.clients.backend_selection import CLIENT_KEYS
from dspy.clients.costs import estimate_cost
from dspy.clients.execution import _select_engine, prepare
from dspy.lm15 import Request, Response

__all__ = [
    "CLIENT_KEYS",
    "AsyncTransportResponse",
    "StdlibAsyncTransport",
    "StdlibTransport",
    "TransportRequest",
    "TransportResponse",
    "canonical_error_code",
    "cost_of",
    "engine_for",
    "error_class_for_code",
    "event_record",
    "parse_sse",
    "request_from_dict",
    "request_to_dict",
    "response_from_dict",
    "response_record",
    "response_to_dict",
    "stream_event_from_dict",
    "stream_event_to_dict",
]


def engine_for(lm: Any, request: Request, *, asynchronous: bool) -> Any:
    """The engine that this LM would use for one attempt at this request: DSPy's own client, litellm, or its own."""
    call = prepare(lm, request, None, {"cache": False}, asynchronous=asynchronous)
    engine, _, _ = _select_engine(lm, call, asynchronous)
    return engine


def response_record(response: Response) -> dict[str, Any]:
    """A response as it is kept, without its id: that tells providers apart who asked, and nothing to a program."""
    record: dict[str, Any] = response_to_dict(response)
    record.pop("id", None)
    return record


def event_record(event: Any) -> dict[str, Any]:
    """An event of a stream as it is kept, without what only its provider understands."""
    record: dict[str, Any] = stream_event_to_dict(event)
    record.pop("provider_data", None)
    record.pop("id", None)
    return record


def cost_of(wanted: str, request: Request, response: Response) -> Decimal | None:
    """What a model's answer cost in US dollars by the prices that DSPy ships; None where they do not tell."""
    provider, slash, model = wanted.partition("/")
    if not slash:
        return None
    cost, _ = estimate_cost(response, provider=provider, requested_model=model, request=request)
    # DSPy multiplies in floating point; ten digits are more than any price list has.
    return None if cost is None else Decimal(f"{cost:.10g}")
