"""LM calls as a few lines of Markdown: sums per LM and what failed, for the summary of a CI job or a comment.

Sums are those of the page. Whatever calls say stands in code spans, where Markdown means nothing and nobody is
mentioned.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from dspex_testkit.errors import JournalFileError
from dspex_testkit.report.view import build_view

_HEAD: Final = ("LM", "calls", "switches to it", "errors", "input tokens", "output tokens", "cost", "cost avoided")
_SHOWN_FAILURES: Final = 20
_SHOWN_CHARACTERS: Final = 200
_NOT_SAID: Final = "-"

Record = Mapping[str, Any]


def render_markdown(calls: Iterable[Record], *, changes: Iterable[Record] = (), title: str = "LM calls") -> str:
    """The calls as a heading, a table of LMs, and a table of the failed calls where there are some.

    Args:
        calls: As `LMCall.to_dict()`, in order, perhaps with the name of a ``test``.
        changes: As `LMChange.to_dict()`; they say nothing here, and switches are counted by calls.
        title: The heading.

    Raises:
        JournalFileError: A number of a call is none.
    """
    view = build_view(calls, changes)
    entries = [entry for entry in view["entries"] if "number" in entry]
    failed = [entry for entry in entries if entry.get("error") is not None]
    return "\n\n".join([f"## {_one_line(title)}", _totals(view["lms"], entries), *_failures(failed)]) + "\n"


def _totals(lms: list[Record], entries: list[Record]) -> str:
    if not entries:
        return "No LM calls."
    of_lm = defaultdict(list)
    for entry in entries:
        of_lm[entry["lm_index"]].append(entry)
    rows = [
        (f"{_code(lm['name'])} {'mock' if lm['mocked'] else 'real provider'}", *_sums(of_lm[index]))
        for index, lm in enumerate(lms)
    ]
    if len(rows) > 1:
        rows.append(("All", *_sums(entries)))
    return _table(_HEAD, rows, numbers=True)


def _sums(entries: list[Record]) -> tuple[str, ...]:
    # An ensemble is charged through its members, and an answer from a cache costs nothing.
    charged = [entry for entry in entries if entry.get("engine") != "ensemble" and not entry.get("cache_hit")]
    real = [entry for entry in charged if entry.get("mocked") is False]
    mocked = [entry for entry in charged if entry.get("mocked") is not False]
    return (
        f"{len(entries):,}",
        f"{sum(entry['switched_from'] is not None for entry in entries):,}",
        f"{sum(entry.get('error') is not None for entry in entries):,}",
        *(_tokens(charged, name) for name in ("input_tokens", "output_tokens")),
        _dollars(real),
        _dollars(mocked),
    )


def _tokens(entries: list[Record], name: str) -> str:
    amounts = [_amount(entry, "usage", (entry.get("usage") or {}).get(name)) for entry in entries]
    said = [amount for amount in amounts if amount is not None]
    return f"{sum(said):,}" if said else _NOT_SAID


def _dollars(entries: list[Record]) -> str:
    said = [amount for entry in entries if (amount := _amount(entry, "cost", entry.get("cost"))) is not None]
    if not said:
        return _NOT_SAID
    total = sum(said)
    # Two digits that say something: fractions of a cent are usual.
    return f"${total:.{min(12, max(2, 1 - total.adjusted()))}f}" if total else "$0"


def _amount(entry: Record, what: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("nan")
    if not amount.is_finite():
        raise JournalFileError(f"LM call {entry['number']}: wanted a number in its {what}, got {value!r}")
    return amount


def _failures(failed: list[Record]) -> list[str]:
    if not failed:
        return []
    rows = [
        (_code(entry.get("test") or _NOT_SAID), _code(f"{entry['provider']}/{entry['model']}"), _code(entry["error"]))
        for entry in failed[:_SHOWN_FAILURES]
    ]
    more = len(failed) - len(rows)
    rest = [f"And {more:,} more."] if more else []
    return ["### Failed calls", _table(("test", "LM", "error"), rows), *rest]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], *, numbers: bool = False) -> str:
    columns = tuple(head)
    lines = [columns, ("---", *(("---:" if numbers else "---") for _ in columns[1:])), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _one_line(text: Any) -> str:
    """A text without control characters and line ends, and not longer than a cell should be."""
    line = re.sub(r"[\s\x00-\x1f\x7f]+", " ", str(text)).strip()
    # Half a character is legal in JSON and has no UTF-8.
    line = line.encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"


def _code(text: Any) -> str:
    """A code span that ends where the text does, in a cell that ends where the span does."""
    line = _one_line(text) or _NOT_SAID
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}".replace("|", "\\|")
