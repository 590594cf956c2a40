"""Which failures let a `first_success` chain ask its next member."""

from collections.abc import Collection

import dspy

from dspex_testkit.engines.lm_errors import find_mock_error
from dspex_testkit.errors import BudgetExceededError, MockLMError
from dspex_testkit.lm.ensembles.candidates import UnreadableAnswerError

USUAL = frozenset(
    {"auth", "billing", "context_window", "rate_limit", "server", "timeout", "transport", "unsupported_model"}
)
"""What another provider may well answer. A request that is wrong is wrong everywhere, and a mock without an answer
is a test's mistake: neither is covered up unless it is asked for."""

# Narrower classes before those that they are part of.
_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (MockLMError, "mock"),
    (UnreadableAnswerError, "unparsable"),
    (dspy.ContextWindowExceededError, "context_window"),
    (dspy.LMUnsupportedModelError, "unsupported_model"),
    (dspy.LMInvalidRequestError, "invalid_request"),
    (dspy.LMAuthError, "auth"),
    (dspy.LMBillingError, "billing"),
    (dspy.LMRateLimitError, "rate_limit"),
    (dspy.LMTimeoutError, "timeout"),
    (dspy.LMServerError, "server"),
    (dspy.LMTransportError, "transport"),
)


def moves_on(error: BaseException, kinds: Collection[str]) -> bool:
    """Whether the next member is asked after this failure.

    Args:
        error: Why a member did not answer.
        kinds: What the ensemble's `on_errors` names; the usual ones where it is empty.
    """
    if not isinstance(error, Exception) or isinstance(find_mock_error(error), BudgetExceededError):
        return False
    wanted = frozenset(kinds) or USUAL
    return "any" in wanted or kind_of(error) in wanted


def kind_of(error: BaseException) -> str | None:
    """The kind of a failure as `on_errors` spells it; None for what has no name there."""
    return next((kind for cls, kind in _KINDS if isinstance(error, cls)), None)
