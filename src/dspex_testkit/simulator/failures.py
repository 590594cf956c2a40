"""What a simulated provider says where an engine raises."""

import logging
from typing import Final

from dspy import lm15

from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.wires.failures import STATUSES, Failure, Refused

__all__ = ["STATUSES", "failure_of"]

_logger = logging.getLogger("dspex_testkit.simulator")
_DEFECTS = (TypeError, AttributeError, LookupError, RecursionError, AssertionError)
"""Errors that speak of Python rather than of what was asked."""


def failure_of(error: Exception) -> Failure:
    """What a provider would have said where an engine raises.

    A mock that has no answer is no fault of a provider: it becomes an invalid request, which no client retries, and
    says itself what was asked and what to write.
    """
    if isinstance(error, Refused):
        return error.failure
    if isinstance(error, DSPexTestkitError):
        return Failure("invalid_request", error.message, code=error.code)
    if isinstance(error, lm15.LM15Error):
        kind = _KIND_OF_STATUS.get(error.status or 0) or next(
            (kind for kinds, kind in _KINDS if isinstance(error, kinds)), "server_error"
        )
        message = error.message.split("\n\n", 1)[0]
        return Failure(kind, message or kind, retry_after=error.retry_after)
    _logger.error("a request could not be answered", exc_info=error)
    if isinstance(error, _DEFECTS):
        return Failure("server_error", "The simulator could not answer; what it logs says why.")
    return Failure("server_error", str(error) or "The simulator could not answer.")


_KINDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (lm15.ContextLengthError, "context_length"),
    (lm15.UnsupportedModelError, "not_found"),
    (lm15.InvalidRequestError, "invalid_request"),
    (lm15.AuthError, "auth"),
    (lm15.BillingError, "billing"),
    (lm15.RateLimitError, "rate_limit"),
    (lm15.TimeoutError, "timeout"),
    (lm15.ServerError, "server_error"),
)

# What the classes do not tell apart.
_KIND_OF_STATUS: Final = {
    403: "permission",
    413: "too_large",
    422: "unprocessable",
    503: "unavailable",
    529: "overloaded",
}
