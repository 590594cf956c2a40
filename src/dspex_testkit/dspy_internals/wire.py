"""The JSON form of canonical requests, responses, stream events and failures, which `dspy.lm15` does not publish.

`tests/dspy_internals/test_wire.py` fails loudly when one of these moves.
"""

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
from dspy.lm15 import LM15Error, Response

__all__ = [
    "error_from_dict",
    "error_to_dict",
    "event_record",
    "request_from_dict",
    "request_to_dict",
    "response_from_dict",
    "response_record",
    "response_to_dict",
    "stream_event_from_dict",
    "stream_event_to_dict",
]


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


def error_to_dict(error: LM15Error) -> dict[str, Any]:
    """A canonical error as JSON; with the model where a client has its own name for it."""
    found = {
        "code": canonical_error_code(error),
        "message": error.message,
        "status": error.status,
        "provider": error.provider,
        "provider_code": error.provider_code,
        "retry_after": error.retry_after,
        "request_id": error.request_id,
        "model": getattr(error, "model", None),
    }
    return {key: value for key, value in found.items() if value is not None}


def error_from_dict(record: dict[str, Any]) -> LM15Error:
    """The canonical error of JSON."""
    make: Any = error_class_for_code(str(record.get("code")))
    names = ("status", "provider", "provider_code", "retry_after", "request_id")
    error: LM15Error = make(
        str(record.get("message", "")), **{name: record[name] for name in names if record.get(name) is not None}
    )
    if record.get("model") is not None:
        # Litellm's errors name the model without its prefix, and DSPy repeats that in their text.
        error.model = str(record["model"])
    # Some classes add advice to their message, which the one that was kept has already.
    error.message = str(record.get("message", ""))
    error.args = (error.message,)
    return error
