"""What a provider refuses, before any provider's words are put to it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Failure:
    """A refusal; each wire gives it the body that its provider would send."""

    kind: str
    """One of `KINDS`."""
    message: str
    status: int | None = None
    """None: the one that the provider uses for this kind."""
    retry_after: float | None = None
    """Seconds."""
    code: str | None = None
    """A code of ours, for failures that no provider knows: a mock without an answer."""


class Refused(Exception):
    """Raised wherever a request cannot be answered."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


STATUSES: Final = {
    "invalid_request": 400,
    "context_length": 400,
    "auth": 401,
    "billing": 402,
    "permission": 403,
    "not_found": 404,
    "too_large": 413,
    "unprocessable": 422,
    "rate_limit": 429,
    "server_error": 500,
    "overloaded": 503,
    "unavailable": 503,
    "timeout": 504,
}
"""Kinds of failures, each with the status that is used where a provider has no habit of its own."""

MESSAGES: Final = {
    "invalid_request": "Simulated: the request is invalid.",
    "context_length": "Simulated: the prompt is too long: 200000 tokens exceed the maximum context length.",
    "auth": "Simulated: the API key provided is not valid.",
    "billing": "Simulated: you exceeded your current quota, please check your plan and billing details.",
    "permission": "Simulated: you have no permission to use this.",
    "not_found": "Simulated: the model {model} does not exist or you do not have access to it.",
    "too_large": "Simulated: the request is too large.",
    "unprocessable": "Simulated: the request was well formed and cannot be processed.",
    "rate_limit": "Simulated: rate limit reached.",
    "server_error": "Simulated: the server had an error.",
    "overloaded": "Simulated: the service is overloaded.",
    "unavailable": "Simulated: the service is temporarily unavailable.",
    "timeout": "Simulated: the request timed out.",
}
"""What is said where a provider has no words of its own that clients look for; `{model}` is filled in."""


def refuse(kind: str, message: str, *, code: str | None = None) -> Refused:
    """The exception for a request that cannot be answered."""
    return Refused(Failure(kind, message, code=code))
