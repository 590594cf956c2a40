"""What came of an open cassette, as values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dspex_testkit.cassettes.drift import Drift
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.errors import CassetteError


@dataclass(frozen=True, slots=True)
class CassetteReport:
    """What was played, recorded, missed and left over."""

    path: Path
    mode: RecordMode
    interactions: int
    """How many were in the file when it was opened."""
    played: int
    """Answers that came from the file."""
    recorded: int
    """Answers that came from the LM and are, or would be, kept."""
    unplayed: tuple[int, ...]
    """Positions in the file that nobody asked for."""
    misses: tuple[CassetteError, ...]
    drifts: tuple[Drift, ...]
    stale: CassetteError | None
    committed: bool
    not_kept: tuple[str, ...] = ()
    """Calls that the LM was asked and that are not in the file, with the reason, one line each."""

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "path": str(self.path),
            "mode": str(self.mode),
            "interactions": self.interactions,
            "played": self.played,
            "recorded": self.recorded,
            "unplayed": list(self.unplayed),
            "misses": [miss.message for miss in self.misses],
            "drifts": [str(drift) for drift in self.drifts],
            "stale": None if self.stale is None else self.stale.message,
            "committed": self.committed,
            "not_kept": list(self.not_kept),
        }
