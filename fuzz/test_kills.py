"""Processes killed at random moments."""

from collections.abc import Callable

from fuzz.kills import SETTINGS, Setting, Tally, attack, attack_recorders
from fuzz.parallel import each
from fuzz.sizes import Sizes


def test_whoever_is_killed_leaves_nothing_behind_and_takes_nothing_along(
    sizes: Sizes, seed: int, count: Callable[[object], None]
) -> None:
    """No orphan, no file, no kept recording lost, no cassette half-written; and the next bridge answers."""

    def one(setting: Setting | None) -> Tally:
        if setting is None:
            return attack_recorders(sizes.kills // 5, seed)
        share = sizes.kills // 5
        return attack(setting, share if setting is SETTINGS[-1] else 3 * share // 2, seed)

    total = Tally()
    for setting, tally in each((*SETTINGS, None), one):
        count(f"{setting.name if setting else 'recorders'}: {tally}")
        total.add(tally)
    count(f"in all: {total}")
    assert not total.faults, "\n".join([str(total), *(f"* {note}" for note in total.notes)])
