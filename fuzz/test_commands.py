"""Random commands to live bridges, compared with a model of what is documented."""

from collections.abc import Callable

import pytest

from fuzz.commands import SETTINGS, Setting, attack
from fuzz.sizes import Sizes


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_random_commands_are_answered_as_the_model_says(
    setting: Setting, sizes: Sizes, seed: int, count: Callable[[object], None]
) -> None:
    """No reply is wrong, lost, doubled or late, however many requests are under way."""
    tally = attack(setting, sizes.commands // len(SETTINGS), seed)
    count(tally)
    assert not tally.faults, "\n".join([str(tally), *tally.notes])
