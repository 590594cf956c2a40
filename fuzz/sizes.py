"""How much of each attack there is."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts, all settings of a part together."""

    commands: int
    packets: int
    ends: int
    """Bridges whose client goes within a frame."""
    kills: int
    soak_rounds: int
    """Between two of which processes are sampled; of each setting."""
    soak_commands: int
    """In each round."""

    def scaled(self, factor: float) -> "Sizes":
        """So many times as much of everything that makes a run long."""
        kept = {"soak_rounds": self.soak_rounds}
        return Sizes(**{name: max(1, round(count * factor)) for name, count in asdict(self).items()} | kept)


SMOKE = Sizes(commands=600, packets=150, ends=3, kills=2, soak_rounds=3, soak_commands=100)
"""For the ordinary test suite: does the attack itself still work?"""
SHORT = Sizes(commands=8_000, packets=8_000, ends=10, kills=20, soak_rounds=9, soak_commands=300)
"""For CI."""
LONG = Sizes(commands=100_000, packets=100_000, ends=200, kills=500, soak_rounds=30, soak_commands=1_500)
