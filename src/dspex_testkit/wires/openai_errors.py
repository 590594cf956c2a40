"""OpenAI's error bodies, which its three formats and everybody compatible with it share."""

from typing import Any, Final

from dspex_testkit.wires.failures import Failure

STATUSES: Final = {"billing": 429}
MESSAGES: Final = {
    "context_length": "This model's maximum context length is 128000 tokens. However, your messages resulted in 200000 "
    "tokens. Please reduce the length of the messages.",
    "not_found": "The model `{model}` does not exist or you do not have access to it.",
}

_TYPES: Final = {
    "invalid_request": ("invalid_request_error", None),
    "context_length": ("invalid_request_error", "context_length_exceeded"),
    "auth": ("invalid_request_error", "invalid_api_key"),
    "permission": ("request_forbidden", "unsupported_country_region_territory"),
    "billing": ("insufficient_quota", "insufficient_quota"),
    "not_found": ("invalid_request_error", "model_not_found"),
    "too_large": ("invalid_request_error", None),
    "unprocessable": ("invalid_request_error", None),
    "rate_limit": ("requests", "rate_limit_exceeded"),
}


def openai_error(failure: Failure, status: int) -> dict[str, Any]:
    """The body of a refusal."""
    kind, code = _TYPES.get(failure.kind, ("server_error", None))
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": failure.code or code}}
