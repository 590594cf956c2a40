"""Odd environments, for real."""

import os
from collections.abc import Callable

import pytest

from fuzz.environments import ENVIRONMENTS, Environment, attempt


@pytest.mark.parametrize("host", [True, False], ids=["host", "no host"])
@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment.name)
def test_a_bridge_answers_or_says_why_not(
    environment: Environment, host: bool, count: Callable[[object], None]
) -> None:
    """It never dies of a signal, never ends in silence, and leaves nothing behind."""
    if environment.needs_root and os.geteuid() != 0:
        pytest.skip("only root has file systems of its own")
    outcome = attempt(environment, host=host)
    count(outcome)
    assert outcome.problem is None, str(outcome)
