"""Pools and processes for the tests of the harness."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dspex_testkit.launch.install import install
from dspex_testkit.pool import BridgePool, Dialect, Launch, leftovers
from tests.support.waiting import PATIENCE

MOCKED = Launch(env={"DSPEX_TESTKIT_DEFAULT_LM": "mock", "DSPEX_TESTKIT_ALLOW_CRASH": "1"})
"""Bridges on which a mock answers, and which crash when told to."""

ALONE = MOCKED.with_env(DSPEX_TESTKIT_HOST="off")
"""The same without a warm host: the process that was started is the one that answers."""


def patient(dialect: Dialect) -> Dialect:
    """The dialect with time enough, on a machine that is busy, for the first rung of the ladder that works."""
    farewell = None if dialect.farewell is None else (*dialect.farewell[:2], PATIENCE)
    return replace(dialect, farewell=farewell, eof_patience=PATIENCE, kill_after=PATIENCE)


@pytest.fixture(autouse=True, scope="module")
def _nothing_left() -> Iterator[None]:
    """No test module leaves a process behind."""
    yield
    leftovers.assert_none_left()


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `dspy_bridge.py` as an installation writes it."""
    return install(tmp_path_factory.mktemp("priv") / "python")


@pytest.fixture(scope="module")
def _module_pool() -> Iterator[BridgePool]:
    with BridgePool(2, launch=MOCKED) as pool:
        pool.warm_up()
        yield pool


@pytest.fixture
def pool(_module_pool: BridgePool) -> BridgePool:
    """Two workers of V2, kept for the module, with nothing in them."""
    _module_pool.reset()
    return _module_pool
