"""Odd environments, for real."""

import os
from collections.abc import Callable

import pytest

from fuzz.environments import ENVIRONMENTS, FAKETIME, Environment, attempt
from fuzz.parallel import each


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment.name)
def test_a_bridge_answers_or_says_why_not(
    environment: Environment, request: pytest.FixtureRequest, seed: int, count: Callable[[object], None]
) -> None:
    """With a host and without, or in a short run with one of them, in turns: no signal, no silence, nothing left."""
    if environment.needs_root and os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    if environment.jumps and FAKETIME is None and "CI" not in os.environ:
        pytest.skip("the clock jumps by Debian's libfaketime, which is not installed")
    turn = (seed + ENVIRONMENTS.index(environment)) % 2 == 0
    ways = (True, False) if request.config.getoption("--long") else (turn,)
    for _, outcome in each(ways, lambda host: attempt(environment, host=host)):
        count(outcome)
        assert outcome.problem is None, str(outcome)
