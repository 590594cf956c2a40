"""What the page shows, computed before it is drawn: numbered LMs and lanes, and where an LM took another's place."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Record = Mapping[str, Any]


def build_view(calls: Iterable[Record], changes: Iterable[Record] = (), tests: Iterable[Record] = ()) -> dict[str, Any]:
    """Lay calls and changes out.

    A call switches where the call before it of the same test and session had another LM, on whichever worker: a pool
    moves sessions about. The members of an ensemble are part of its call, so they switch nothing.

    Args:
        calls: As `LMCall.to_dict()`, in order; a key `test` beside them names the test that they belong to.
        changes: As `LMChange.to_dict()`, with the same `test`.
        tests: What is known of a test beside its name, `nodeid`.

    Returns:
        JSON values: ``lms``, ``lanes``, ``tests`` by name, and ``entries``. An entry is a call or a change with
        ``lm_index`` and ``lane`` as indexes (None for a change to an LM that never answers) and, for a call, ``number``
        (from 1) and ``switched_from`` (an index of ``lms`` or None).
    """
    calls = list(calls)
    # Numbered first, so that a change can name an LM which answers only later.
    lms = {key: index for index, key in enumerate(dict.fromkeys(map(_lm_key, calls)))}
    by_name = {name: index for (name, _), index in lms.items()}
    lanes: dict[tuple[str | None, str | None], int] = {}
    last_lm: dict[tuple[str | None, str | None], int] = {}
    names = _Names()
    entries = []
    number = 0
    for record in _merged(calls, list(changes)):
        if is_change(record):
            lm_index = by_name.get(names.resolve(record) or "")
            entries.append({**record, "lm_name": _changed_to(record), "lm_index": lm_index, "lane": None})
            continue
        number += 1
        lm = lms[_lm_key(record)]
        lane = lanes.setdefault((record.get("worker_id"), record.get("session_id")), len(lanes))
        switched_from = None
        if record.get("parent_id") is None:
            where = (record.get("test"), record.get("session_id"))
            before = last_lm.get(where, lm)
            switched_from = before if before != lm else None
            last_lm[where] = lm
        entries.append({**record, "number": number, "lm_index": lm, "lane": lane, "switched_from": switched_from})
    return {
        "lms": [{"name": name, "mocked": mocked, "letter": letter(i)} for i, (name, mocked) in enumerate(lms)],
        "lanes": [{"worker": worker, "session": session} for worker, session in lanes],
        "tests": {test["nodeid"]: dict(test) for test in tests},
        "entries": entries,
    }


class _Names:
    """What the names of LMs stand for, in each test, from one change to the next."""

    def __init__(self) -> None:
        self._lms: dict[tuple[Any, str], str | None] = {}

    def resolve(self, change: Record) -> str | None:
        """The LM that a change leads to, by way of names if need be; a definition is remembered."""
        test, referred = change.get("test"), (change.get("lm") or {}).get("lm")
        lm = self._lms.get((test, referred)) if referred else _changed_to(change)
        if change.get("name"):
            self._lms[test, change["name"]] = lm
        return lm


def _lm_key(call: Record) -> tuple[str, bool]:
    # A mock that carries a provider's name is not that provider.
    return lm_name(call), bool(call.get("mocked", True))


def lm_name(call: Record) -> str:
    """The LM of a call as people write it."""
    return f"{call['provider']}/{call['model']}"


def letter(index: int) -> str:
    """A, B, …, Z, AA, AB, …: says which LM where colour cannot be seen."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def is_change(record: Record) -> bool:
    """Whether a record is an `LMChange` rather than an `LMCall`."""
    return record.get("type") == "lm_changed"


def _changed_to(change: Record) -> str | None:
    config = change.get("lm")
    if not config:
        return None
    if config.get("provider") and config.get("model"):
        return lm_name(config)
    if config.get("lm"):
        return f"the LM named {config['lm']}"
    return "other parameters" if config.get("params") else None


def _merged(calls: list[Record], changes: list[Record]) -> Iterator[Record]:
    """Calls in their order, each change before the first later call of its own test."""
    waiting: dict[Any, deque[Record]] = defaultdict(deque)
    for change in sorted(changes, key=_moment):
        waiting[change.get("test")].append(change)
    ends = {call.get("test"): index for index, call in enumerate(calls)}
    for test in [test for test in waiting if test not in ends]:
        yield from waiting.pop(test)
    for index, call in enumerate(calls):
        queue = waiting[call.get("test")]
        while queue and _moment(queue[0]) < _moment(call):
            yield queue.popleft()
        yield call
        if ends[call.get("test")] == index:
            yield from queue


def _moment(record: Record) -> tuple[float, int]:
    # Sequence numbers alone would not do: a test can have had several bridges, each counting from 1.
    return float(record.get("time") or 0), int(record.get("seq") or 0)
