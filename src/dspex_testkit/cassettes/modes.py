"""What a cassette does when it is opened: replay, record, or compare."""

from enum import StrEnum
from typing import Self

from dspex_testkit.errors import UsageError


class RecordMode(StrEnum):
    """vcrpy's four modes, and two of ours."""

    NONE = "none"
    """Replay only; what is not recorded is an error."""
    ONCE = "once"
    """Record where there is no cassette yet, else replay only."""
    NEW_EPISODES = "new_episodes"
    """Replay what is recorded, record the rest."""
    ALL = "all"
    """Ask the LM for everything; what was asked again replaces its recording, the rest of the file stays."""
    REWRITE = "rewrite"
    """Ask the LM for everything; the file will hold nothing else."""
    VERIFY = "verify"
    """Ask the LM for everything, compare with the recording, change nothing."""

    @classmethod
    def of(cls, name: str) -> Self:
        """The mode of this name.

        Raises:
            UsageError: There is no such mode.
        """
        try:
            return cls(name)
        except ValueError:
            raise UsageError(
                f"There is no record mode {name!r}; write one of {', '.join(cls)}", details={"record_mode": name}
            ) from None

    @property
    def asks_always(self) -> bool:
        """Whether the LM is asked even for what is recorded."""
        return self in (RecordMode.ALL, RecordMode.REWRITE, RecordMode.VERIFY)

    @property
    def may_write(self) -> bool:
        """Whether a file may change."""
        return self not in (RecordMode.NONE, RecordMode.VERIFY)
