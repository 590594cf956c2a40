"""How much of each attack there is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts, all settings of a part together."""

    commands: int
    packets: int
    ends: int
    """Bridges whose client goes within a frame."""


SMOKE = Sizes(commands=600, packets=150, ends=3)
"""For the ordinary test suite: does the attack itself still work?"""
SHORT = Sizes(commands=12_000, packets=8_000, ends=20)
"""For CI."""
LONG = Sizes(commands=100_000, packets=100_000, ends=300)
