"""What every answer from a recording needs: to say that it cannot be read, and when its pieces are due."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dspex_testkit.dspy_internals.wire import stream_event_from_dict
from dspex_testkit.errors import CassetteFormatError, UnfinishedRecordingError


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Read a recording in this block.

    Raises:
        CassetteFormatError: It was edited into nonsense: DSPy cannot make anything of it.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CassetteFormatError(
            f"{path} has a recording that answers this request and cannot be read: {error}; "
            "bring it back from version control, or record it again",
            details={"path": str(path)},
        ) from error


UNFINISHED = {"cancelled": "was cancelled", "closed": "was read no further"}
"""How a call ends that gets no final answer, and what is said of it."""


def unfinished(path: Path, ended: str, pieces: int, elapsed_ms: float | None) -> UnfinishedRecordingError:
    """The error for reading beyond the end of a call that was recorded only in part."""
    after = f" and {elapsed_ms:.0f} ms" if elapsed_ms is not None else ""
    return UnfinishedRecordingError(
        f"{path}: the recorded call {UNFINISHED[ended]} after {pieces} pieces{after}, so the recording has no answer; "
        "do the same with it, or record it again with record_mode='rewrite'",
        details={"path": str(path), "ended": ended, "pieces": pieces},
    )


def paced(chunks: Sequence[dict[str, Any]], *, realtime: bool) -> list[tuple[float, Any]]:
    """The events of a recorded stream, each with the seconds to wait before it: as it came, or none."""
    events, before = [], 0.0
    for chunk in chunks:
        at = float(chunk.get("at_ms") or 0.0)
        events.append((max(0.0, at - before) / 1000 if realtime else 0.0, stream_event_from_dict(chunk["event"])))
        before = at
    return events
