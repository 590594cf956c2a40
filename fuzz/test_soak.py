"""Bridges under commands for a long time."""

from collections.abc import Callable

import pytest

from fuzz.commands import Setting
from fuzz.sizes import Sizes
from fuzz.soak import SETTINGS, attack


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_memory_descriptors_and_threads_stay_as_they_are(
    setting: Setting, sizes: Sizes, seed: int, count: Callable[[object], None]
) -> None:
    """What launchers, workers and host have more at the end than in the middle is within the bounds."""
    tally = attack(setting, sizes.soak_rounds, sizes.soak_commands, seed)
    count(tally)
    assert not tally.problems, "\n".join([str(tally), *tally.problems])
