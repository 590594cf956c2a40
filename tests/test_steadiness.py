"""The tests say what the code does, on a machine of any speed."""

import time

from hypothesis import Phase, given, settings
from hypothesis import strategies as st


def test_a_property_holds_on_a_slow_machine_too() -> None:
    """Neither hypothesis' deadline nor its health checks give up because values are made, or tried, slowly."""

    @settings(max_examples=10, database=None, phases=[Phase.generate])
    @given(st.integers().map(_slowly))
    def promise(_value: int) -> None:
        _slowly(0)

    promise()


def _slowly(value: int) -> int:
    # 1 s of drawing in all is where `too_slow` speaks, and 200 ms in one example are the default deadline.
    time.sleep(0.25)
    return value
