"""LM calls as a small table: what a person reads when a test has failed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dspex_testkit.calls import LMCall

_AROUND = 3
"""Calls that are shown before and after the one that is wrong."""
_WIDEST = 44
_WIDEST_ERROR = 120


def around(calls: Sequence[LMCall], position: int, *, expected: Mapping[int, str] | None = None) -> str:
    """The calls around a position, with what was expected of some.

    Args:
        calls: All calls that were looked at.
        position: The one that is wrong, marked with ``>``; beyond the last one where a call is missing.
        expected: By position.
    """
    first = max(0, position - _AROUND)
    last = min(len(calls), position + _AROUND + 1)
    expected = expected or {}
    rows = [
        [
            ">" if index == position else "",
            str(index + 1),
            calls[index].worker_id or "-",
            calls[index].session_id or "-",
            calls[index].program_id or "-",
            expected.get(index, ""),
            calls[index].provider_model,
            str(calls[index].scope or "-"),
        ]
        for index in range(first, last)
    ]
    if position >= len(calls):
        wanted = expected.get(position, "")
        rows.append([">", str(len(calls) + 1), "", "", "", wanted, "(no call)", ""])
    return table(["", "call", "worker", "session", "program", "expected", "actual", "scope"], rows)


def last_calls(calls: Sequence[LMCall], count: int = 10) -> str:
    """The last calls with what was asked and answered."""
    shown = calls[max(0, len(calls) - count) :]
    rows = [
        [
            str(len(calls) - len(shown) + index + 1),
            *([call.session_id or "-", call.program_id or "-"]),
            call.provider_model,
            str(call.scope or "-"),
            brief(call.inputs),
            clip(f"failed: {call.error}", _WIDEST_ERROR)
            if call.error
            else brief(call.outputs or {}) or clip(call.completion or ""),
        ]
        for index, call in enumerate(shown)
    ]
    text = table(["call", "session", "program", "LM", "scope", "inputs", "answer"], rows)
    left = len(calls) - len(shown)
    return f"({left} earlier {'call' if left == 1 else 'calls'} not shown)\n{text}" if left else text


def brief(values: Mapping[str, Any]) -> str:
    """Values by name, in one line."""
    return clip(", ".join(f"{name}={value!r}" for name, value in values.items()))


def clip(text: str, width: int = _WIDEST) -> str:
    """A text that fits into a cell."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under a head; columns in which nothing stands, or only dashes, are left out."""
    body = [list(row) for row in rows]
    used = [
        index
        for index, title in enumerate(head)
        if title in ("call", "actual", "LM", "scope", "inputs", "answer")
        or any(row[index] not in ("", "-") for row in body)
    ]
    lines = [[head[index] for index in used], *([row[index] for index in used] for row in body)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(used))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
