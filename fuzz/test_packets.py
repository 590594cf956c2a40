"""Hostile packets to live bridges."""

from collections.abc import Callable, Iterator

import pytest

from fuzz.packets import SETTINGS, Tally, attack, integers_of_any_length, lie_at_the_end
from fuzz.parallel import each
from fuzz.sizes import Sizes


@pytest.fixture(autouse=True)
def _integers_of_any_length() -> Iterator[None]:
    with integers_of_any_length():
        yield


def test_no_packet_ends_a_bridge_or_finds_a_defect(sizes: Sizes, seed: int, count: Callable[[object], None]) -> None:
    """Every readable request is answered once, whatever stands in it, and never with `internal_error`."""
    share = sizes.packets // len(SETTINGS)
    total = Tally()
    for setting, tally in each(SETTINGS, lambda setting: attack(setting, share, seed)):
        count(f"{setting.name}: {tally}")
        total.add(tally)
    count(f"in all: {total}")
    assert not total.faults, "\n".join([str(total), *(f"* {note}" for note in total.notes.values())])


def test_a_frame_that_is_never_completed_keeps_no_bridge(
    sizes: Sizes, seed: int, count: Callable[[object], None]
) -> None:
    """A client that goes in the middle of a frame leaves nothing behind, and the status is 0."""
    tally = lie_at_the_end(sizes.ends, seed)
    count(tally)
    assert not tally.faults, "\n".join([str(tally), *tally.notes.values()])
