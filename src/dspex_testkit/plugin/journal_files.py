"""LM calls as JSON: what ``--lm-journal`` writes, and what travels between the processes of a run.

The file has one line per call, as `LMCall.to_dict()`, and one per change of who answers (``"type": "lm_changed"``);
beside that each line names its ``test``, the test's ``outcome`` and the ``process`` of pytest-xdist that ran it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from dspex_testkit.calls import LMCall, LMChange, Prompt, Scope, Usage
from dspex_testkit.errors import UsageError

_CALL_FIELDS = frozenset(f.name for f in fields(LMCall))
_CHANGE_FIELDS = frozenset(f.name for f in fields(LMChange))
_USAGE_FIELDS = frozenset(f.name for f in fields(Usage))


@dataclass(slots=True)
class TestCalls:
    """One test of a run, and the LM calls that it led to."""

    __test__ = False  # pytest: this is no test class

    nodeid: str
    """The test's name, as pytest writes it."""
    calls: list[LMCall] = field(default_factory=list)
    changes: list[LMChange] = field(default_factory=list)
    outcome: str = "unknown"
    """``passed``, ``failed`` or ``skipped``."""
    seed: int = 0
    mode: str | None = None
    """Where its bridge ran; None for a test without one."""
    process: str | None = None
    """The process of pytest-xdist that ran it, such as ``gw0``."""
    duration: float = 0.0
    """Seconds, of the test alone."""
    rerun: str | None = None
    """The command that runs it again in the same way."""

    @property
    def entries(self) -> list[LMCall | LMChange]:
        """Calls and changes in one order."""
        entries: list[LMCall | LMChange] = [*self.calls, *self.changes]
        return sorted(entries, key=lambda entry: entry.seq)

    def to_json(self) -> str:
        """The test as text that `read_test` reads."""
        about = {name: getattr(self, name) for name in _ABOUT}
        return _dump({**about, "entries": [entry.to_dict() for entry in self.entries]})


@dataclass(slots=True)
class RunJournal:
    """The LM calls of a whole run, from all its processes, test by test in the order in which the tests ended."""

    tests: list[TestCalls] = field(default_factory=list)

    @property
    def calls(self) -> list[LMCall]:
        """All calls, test by test."""
        return [call for test in self.tests for call in test.calls]

    def write(self, path: Path) -> None:
        """Write all of it to a file, making its folder where that is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            for test in self.tests:
                about = {"test": test.nodeid, "outcome": test.outcome, "process": test.process}
                file.writelines(_dump({**about, **entry.to_dict()}) + "\n" for entry in test.entries)


def read_journal(path: Path) -> RunJournal:
    """Read what ``--lm-journal`` has written; tests that led to no call are not in it.

    Raises:
        UsageError: It is no such file.
    """
    tests: dict[tuple[str, str | None], TestCalls] = {}
    try:
        # Unlike `str.splitlines`, a file takes nothing within a text for the end of a line.
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                name, process = record["test"], record["process"]
                test = TestCalls(name, outcome=record["outcome"], process=process)
                _add(tests.setdefault((name, process), test), record)
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is no journal of LM calls; one is written by pytest --lm-journal=FILE") from None
    return RunJournal(list(tests.values()))


def read_test(text: str) -> TestCalls:
    """A test from what `TestCalls.to_json` wrote."""
    record = json.loads(text)
    test = TestCalls(**{name: record[name] for name in _ABOUT})
    for entry in record["entries"]:
        _add(test, entry)
    return test


def call_from_dict(record: Mapping[str, Any]) -> LMCall:
    """A call from its JSON; keys that this version does not know are left out."""
    known = {name: value for name, value in record.items() if name in _CALL_FIELDS}
    usage = known.get("usage") or {}
    return LMCall(
        **{
            **known,
            "scope": None if known.get("scope") is None else Scope(known["scope"]),
            "prompt": None if known.get("prompt") is None else Prompt.from_dict(known["prompt"]),
            "usage": Usage(**{name: value for name, value in usage.items() if name in _USAGE_FIELDS}),
            "cost": None if known.get("cost") is None else Decimal(known["cost"]),
            "parts": tuple(known.get("parts") or ()),
        }
    )


def change_from_dict(record: Mapping[str, Any]) -> LMChange:
    """A change of who answers from its JSON."""
    known = {name: value for name, value in record.items() if name in _CHANGE_FIELDS}
    return LMChange(**{**known, "scope": None if known.get("scope") is None else Scope(known["scope"])})


def _add(test: TestCalls, record: Mapping[str, Any]) -> None:
    if record.get("type") == "lm_changed":
        test.changes.append(change_from_dict(record))
    else:
        test.calls.append(call_from_dict(record))


def _dump(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str)


_ABOUT = tuple(f.name for f in fields(TestCalls) if f.name not in ("calls", "changes"))
