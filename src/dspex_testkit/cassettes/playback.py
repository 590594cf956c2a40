"""`Playback`: which recording answers the next request of its kind, and which were played."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.matching import MatchRules
from dspex_testkit.errors import CassetteFormatError


class Playback:
    """Recordings by what they answer, equal ones in recorded order. Whoever shares it among threads has a lock.

    Args:
        interactions: What was recorded.
        rules: When two requests are the same one, and what comes after the last recording of it.
        path: The file, for messages.

    Raises:
        CassetteFormatError: A recorded request cannot be read.
    """

    def __init__(self, interactions: Sequence[Interaction], rules: MatchRules, *, path: Path) -> None:
        self._rules = rules
        self._path = path
        self._count = len(interactions)
        self._at: dict[bytes, list[int]] = defaultdict(list)
        for position, interaction in enumerate(interactions):
            self._at[self._key_of(position, interaction)].append(position)
        self._taken: dict[bytes, int] = defaultdict(int)
        self.played: set[int] = set()
        """Positions of recordings that were taken."""

    @property
    def unplayed(self) -> tuple[int, ...]:
        """Positions of the others, in order."""
        return tuple(position for position in range(self._count) if position not in self.played)

    def recordings_of(self, key: bytes) -> int:
        """How many recordings there are of a request."""
        return len(self._at.get(key, ()))

    def take(self, key: bytes) -> int | None:
        """The position of the recording that answers the next request of this key; None where there is none."""
        positions = self._at.get(key)
        if not positions:
            return None
        count = self._taken[key]
        if count >= len(positions):
            if self._rules.exhausted == "error":
                return None
            count = count % len(positions) if self._rules.exhausted == "cycle" else len(positions) - 1
        self._taken[key] += 1
        self.played.add(positions[count])
        return positions[count]

    def _key_of(self, position: int, interaction: Interaction) -> bytes:
        try:
            return self._rules.key(interaction.request)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CassetteFormatError(
                f"{self._path}: interactions[{position}].request cannot be read: {error!r}; "
                "bring it back from version control, or record it again",
                details={"path": str(self._path)},
            ) from error
