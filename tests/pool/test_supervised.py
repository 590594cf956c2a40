"""A standalone bridge that is watched is there again after it has failed."""

import asyncio

import pytest

from dspex_testkit.errors import PoolClosedError, WorkerExitedError
from dspex_testkit.pool import SupervisedBridge, chaos
from tests.pool.conftest import ALONE
from tests.support.waiting import eventually


def test_a_bridge_that_crashes_is_restarted() -> None:
    """What was in flight fails, what comes next is answered by another process."""
    with SupervisedBridge(ALONE) as bridge:
        first = bridge.process

        with pytest.raises(WorkerExitedError):
            bridge.ask("crash_worker")

        eventually(lambda: bridge.restarts == 1, "the restart")
        assert bridge.call("ping")["status"] == "ok"
        assert asyncio.run(bridge.acall("ping"))["status"] == "ok"
        assert bridge.process.pid != first.pid


def test_a_bridge_that_hangs_is_restarted_after_missed_pings() -> None:
    """It is killed, because it would not listen."""
    with SupervisedBridge(ALONE, ping_interval=0.01, ping_timeout=1.0) as bridge:
        first = bridge.process

        with chaos.freeze(first):
            eventually(lambda: bridge.restarts >= 1, "the restart")

        assert first.exit_status == 137
        assert bridge.process.pid != first.pid


def test_a_stopped_bridge_stays_stopped() -> None:
    """Its end is no failure."""
    with SupervisedBridge(ALONE) as bridge:
        process = bridge.process

    assert process.exit_status == 0
    assert bridge.restarts == 0
    with pytest.raises(PoolClosedError):
        bridge.ask("ping")
