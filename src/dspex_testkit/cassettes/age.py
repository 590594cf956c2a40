"""How old a recording may grow."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.errors import StaleCassetteError, UsageError

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "y": timedelta(days=365)}


class StaleCassetteWarning(UserWarning):
    """A recording is older than allowed."""


def parse_age(text: str | timedelta) -> timedelta:
    """An age such as ``12h``, ``90d``, ``8w`` or ``1y``.

    Raises:
        UsageError: It is none.
    """
    if isinstance(text, timedelta):
        return text
    match = re.fullmatch(r"\s*(\d+)\s*([hdwy])\s*", text)
    if match is None:
        raise UsageError(f"{text!r} is no age; write a number and a unit, such as 12h, 90d, 8w or 1y")
    return int(match.group(1)) * _UNITS[match.group(2)]


def too_old(
    interactions: Sequence[Interaction], max_age: timedelta, *, path: Path, now: datetime | None = None
) -> StaleCassetteError | None:
    """The error for a cassette whose oldest recording is older than allowed; None for one that is fresh.

    Recordings without a date count as fresh: nobody knows their age.
    """
    now = now or datetime.now(UTC)
    dates = [interaction.age_from for interaction in interactions if interaction.age_from is not None]
    if not dates or now - min(dates) <= max_age:
        return None
    days = (now - min(dates)).days
    return StaleCassetteError(
        f"{path} was recorded {days} days ago (on {min(dates):%Y-%m-%d}), and {max_age.days} are allowed; compare it "
        f"with the provider by record_mode='verify', or record it again with record_mode='rewrite'",
        details={"path": str(path), "recorded_at": min(dates).isoformat(), "days": days},
    )
