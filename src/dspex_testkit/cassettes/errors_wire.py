"""Provider failures as JSON, and back."""

from typing import Any

from dspy.lm15 import LM15Error

from dspex_testkit.cassettes.dspy_wire import canonical_error_code, error_class_for_code


def error_to_dict(error: LM15Error) -> dict[str, Any]:
    """A canonical error as JSON; request ids are not kept."""
    found = {
        "code": canonical_error_code(error),
        "message": error.message,
        "status": error.status,
        "provider": error.provider,
        "provider_code": error.provider_code,
        "retry_after": error.retry_after,
    }
    return {key: value for key, value in found.items() if value is not None}


def error_from_dict(record: dict[str, Any]) -> LM15Error:
    """The canonical error of JSON."""
    make: Any = error_class_for_code(str(record.get("code")))
    names = ("status", "provider", "provider_code", "retry_after")
    error: LM15Error = make(
        str(record.get("message", "")), **{name: record[name] for name in names if record.get(name) is not None}
    )
    return error
