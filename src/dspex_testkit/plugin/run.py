"""The run as a whole: calls of all tests, from all processes, summed up, written down, and held to a budget."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from dspex_testkit.plugin.items import ARTIFACTS_ATTRIBUTE, CALLS_ATTRIBUTE, process_of
from dspex_testkit.plugin.options import Options


class RunHooks:
    """Collects what the reports carry; with pytest-xdist in the process that controls the others.

    Args:
        config: Of the run.
        options: What was said for it.
    """

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self._config = config
        self._options = options
        self._texts: list[str] = []
        self._spent = Decimal(0)
        self._journal: Any = None
        self._session: pytest.Session | None = None
        self._complaints: dict[str, None] = {}
        """Each once, in order: every failed test may meet the same."""

    @pytest.hookimpl
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Remember what a spent budget stops."""
        self._session = session

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the calls of a test that has ended."""
        text = getattr(report, CALLS_ATTRIBUTE, None)
        if text is None:
            return
        files = getattr(report, ARTIFACTS_ATTRIBUTE, None)
        # An attempt after which pytest-rerunfailures tries again is no failure yet.
        if files and report.failed and self._options.artifacts is not None and process_of(self._config) is None:
            from dspex_testkit.plugin.reporting import write_artifacts

            with self._complaining("--lm-artifacts"):
                write_artifacts(self._options.artifacts, report.nodeid, files)
        # What the report of a subtest carries, that of its test carries again.
        if type(report) is not pytest.TestReport:
            return
        self._texts.append(text)
        if self._options.budget is not None:
            self._charge(text)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the journal and call the hook for it; a journal that cannot be written fails the run."""
        self._finish()
        if self._complaints:
            session.exitstatus = session.exitstatus or pytest.ExitCode.USAGE_ERROR

    def _finish(self) -> None:
        if process_of(self._config) is not None:
            return
        if not self._texts and self._options.journal is None:
            return
        journal = self.journal
        if self._options.journal is not None:
            with self._complaining("--lm-journal"):
                journal.write(self._options.journal)
        self._config.hook.pytest_dspex_lm_calls(config=self._config, journal=journal)

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say in a line or two which LMs were asked, and what that cost or would have cost."""
        calls = self.journal.calls if self._texts else []
        if calls:
            self._sum_up(terminalreporter, calls)
        for complaint in self._complaints:
            _line(terminalreporter, complaint, red=True)

    def _sum_up(self, terminalreporter: Any, calls: list[Any]) -> None:
        from dspex_testkit.calls.costs import cost_of

        by_lm = Counter(call.provider_model for call in calls)
        switches = sum(_switches(test.calls) for test in self.journal.tests)
        spent, avoided = cost_of(_real(calls)), cost_of(call for call in calls if call.mocked)
        terminalreporter.section("LM calls")
        lms = ", ".join(f"{name} {count}" for name, count in by_lm.most_common(8))
        more = f" and {len(by_lm) - 8} more" if len(by_lm) > 8 else ""
        _line(terminalreporter, f"{len(calls)} {_plural(len(calls), 'call')} in {_tests(self.journal)}: {lms}{more}")
        _line(terminalreporter, f"{switches} {_plural(switches, 'switch', 'switches')} of LM within a session")
        failed = sum(call.error is not None for call in calls)
        if failed:
            _line(terminalreporter, f"{failed} {_plural(failed, 'call')} failed", yellow=True)
        _line(terminalreporter, f"${spent} spent, ${avoided} avoided", green=not spent, red=bool(spent))
        if self._options.journal is not None and not self._complaints:
            _line(terminalreporter, f"written to {self._options.journal}")

    @property
    def journal(self) -> Any:
        """The `RunJournal` so far."""
        from dspex_testkit.plugin.journal_files import RunJournal, read_test

        if self._journal is None or len(self._journal.tests) != len(self._texts):
            self._journal = RunJournal([read_test(text) for text in self._texts])
        return self._journal

    @contextmanager
    def _complaining(self, option: str) -> Iterator[None]:
        """Have what cannot be written told at the end, instead of ending the run."""
        try:
            yield
        except OSError as error:
            self._complaints[f"{option}: {error.strerror}: {error.filename}"] = None

    def _charge(self, text: str) -> None:
        """Count what real calls cost, and end the run where that is too much."""
        from dspex_testkit.calls.costs import cost_of
        from dspex_testkit.plugin.journal_files import read_test

        self._spent += cost_of(_real(read_test(text).calls))
        budget = self._options.budget
        # Mocks may go on where nothing may be spent at all.
        if budget is None or not self._spent or self._spent < budget:
            return
        reason = f"--lm-budget: {self._spent} of {budget} US dollars are spent"
        # Under pytest-xdist it is the distributing session that stops, and with it every process.
        for stopped in (self._config.pluginmanager.get_plugin("dsession"), self._session):
            if stopped is not None:
                stopped.shouldstop = reason


def _real(calls: list[Any]) -> list[Any]:
    return [call for call in calls if not call.mocked]


def _switches(calls: list[Any]) -> int:
    """How often another LM answered than before, each session for itself, on whichever workers a pool ran it."""
    lanes: dict[str | None, list[tuple[str, str]]] = {}
    for call in calls:
        if call.parent_id is None:
            lanes.setdefault(call.session_id, []).append((call.provider, call.model))
    return sum(before != after for lane in lanes.values() for before, after in pairwise(lane))


def _tests(journal: Any) -> str:
    # A test with many seeds has run as often, and is one test.
    count = len({test.nodeid for test in journal.tests if test.calls})
    return f"{count} {_plural(count, 'test')}"


def _plural(count: int, one: str, many: str | None = None) -> str:
    return one if count == 1 else many or one + "s"


def _line(terminalreporter: Any, text: str, **markup: bool) -> None:
    terminalreporter.write_line(text, **markup)
