"""What a client meets decides how its worker is given back."""

import asyncio

import pytest

from dspex_testkit.errors import (
    LocalProtocolError,
    MalformedMessageError,
    RemoteCommandError,
    ResponseMismatchError,
    WorkerBusyError,
    WorkerExitedError,
    WorkerTimeoutError,
)
from dspex_testkit.pool.workers import Outcome, outcome_of, worst


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (RemoteCommandError("ping", "no", "internal_error"), "ok"),
        (WorkerBusyError("busy"), "ok"),
        (WorkerTimeoutError("late"), "error"),
        (ResponseMismatchError("other id"), "error"),
        (MalformedMessageError("not JSON"), "error"),
        (WorkerExitedError("gone"), "close"),
        (LocalProtocolError("cannot be encoded"), "close"),
        (AssertionError(), "close"),
        (asyncio.CancelledError(), "close"),
        (KeyboardInterrupt(), "close"),
    ],
)
def test_each_error_has_its_outcome(error: BaseException | None, outcome: Outcome) -> None:
    """The table of DSPex's V2; an error that the bridge answered says nothing against the worker."""
    assert outcome_of(error) == outcome


def test_the_worst_outcome_counts() -> None:
    """A success afterwards does not make up for it."""
    assert [worst("ok", "error"), worst("error", "ok"), worst("error", "close")] == ["error", "error", "close"]
