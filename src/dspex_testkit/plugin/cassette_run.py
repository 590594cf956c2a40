"""The run's recordings as a whole: what was not played, what is old, and whether anything was recorded at all."""

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.errors import CassetteError
from dspex_testkit.plugin.cassette_orphans import Orphans
from dspex_testkit.plugin.cassette_plans import was_used
from dspex_testkit.plugin.cassette_settings import CassetteSettings
from dspex_testkit.plugin.items import PASSED, process_of

CASSETTES_ATTRIBUTE = "dspex_testkit_cassettes"
"""Where the report of a test's teardown carries what came of its cassettes, as JSON."""
SECTION = "LM cassette (teardown)"
"""pytest shows sections of a passed teardown where the test itself has failed, and this word is in the title."""
ORPHANS_ATTRIBUTE = "dspex_testkit_orphans"
"""Where the same report carries the files beside the test's recording that no test names, as JSON."""


def add_reports(report: pytest.TestReport, reports: Sequence[dict[str, Any]], *, failed: bool) -> None:
    """Have a test's report carry what came of its cassettes; where the test failed, also for people to read."""
    setattr(report, CASSETTES_ATTRIBUTE, json.dumps([{**each, "test": report.nodeid} for each in reports]))
    misses = [miss for each in reports for miss in each["misses"]]
    if failed and misses:
        report.sections.append((SECTION, "\n\n".join(dict.fromkeys(misses))))


class CassetteRunHooks:
    """Collects what the reports carry; with pytest-xdist in the process that controls the others.

    Args:
        settings: What was said for the run.
        config: Of the run.
    """

    def __init__(self, settings: CassetteSettings, config: pytest.Config) -> None:
        self._settings = settings
        self._reports: list[dict[str, Any]] = []
        self._problems: list[str] = []
        self._ran = False
        self._orphans = Orphans(config)
        self._orphaned: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """See all tests, before any are deselected."""
        self._orphans.collected(items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """See to it that `xfail` means the test, and not its recording.

        A test that fails as its mark says has gone as its author expects, so its recording is kept. A recording that is
        missing, or that misses, is no such failure.
        """
        report = yield
        expected = hasattr(report, "wasxfail")
        if expected and call.excinfo is not None and _is_of_a_cassette(call.excinfo.value):
            del report.wasxfail
            report.outcome, expected = "failed", False
        if report.when == "call":
            item.stash[PASSED] = report.passed or expected
        if hasattr(report, CASSETTES_ATTRIBUTE):
            setattr(report, ORPHANS_ATTRIBUTE, json.dumps(list(map(str, self._orphans.beside(item)))))
        return report

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what came of a test's cassettes."""
        self._ran = self._ran or (report.when == "call" and not report.skipped)
        self._reports += json.loads(getattr(report, CASSETTES_ATTRIBUTE, "[]"))
        self._orphaned.update(json.loads(getattr(report, ORPHANS_ATTRIBUTE, "[]")))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Write the report, and fail a run that left recordings unplayed or recorded nothing where it was to."""
        result = yield
        if process_of(session.config) is not None:
            return result
        mode = self._settings.forced_mode
        if mode not in (None, "none") and self._ran and not any(map(was_used, self._reports)):
            self._problems.append(
                f"--lm-record-mode={mode}: nothing was recorded; no test that ran asked an LM through a cassette "
                "(the marker lm_cassette, or --lm-policy=record, gives it one)"
            )
        if self._settings.unplayed == "fail" and (self.unplayed or self._orphaned):
            self._problems.append("--lm-unplayed=fail: not all recordings were played")
        if self._settings.report is not None:
            self._write(self._settings.report)
        if self._problems:
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        return result

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Say what was played and recorded, and what there is to be done."""
        if not self._reports and not self._problems:
            return
        terminalreporter.section("LM cassettes")
        counts = {name: sum(each[name] for each in self._reports) for name in ("played", "recorded", "verified")}
        # What a test recorded that then failed was not kept.
        counts["recorded"] = sum(each["recorded"] for each in self._reports if each["passed"])
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count or name != "verified")
        files = len({each["path"] for each in self._reports})
        line = terminalreporter.write_line
        line(f"{files} {'cassette' if files == 1 else 'cassettes'}: {told}")
        for path, positions in self.unplayed.items():
            line(f"not played: {_short(path, config)}: {', '.join(map(str, positions))}", yellow=True)
        for path in sorted(self._orphaned):
            line(f"nobody's: {_short(path, config)}: no test is called so", yellow=True)
        for places in self._duplicates():
            told_places = ", ".join(f"{_short(str(path), config)}: {position}" for path, position in places)
            line(f"recorded twice: {told_places}", yellow=True)
        for text in dict.fromkeys(each["stale"] for each in self._reports if each["stale"]):
            line(f"old: {text}", yellow=True)
        for text in dict.fromkeys(text for each in self._reports for text in each["drifts"]):
            line(f"drift: {text}", yellow=True)
        for each in self._reports:
            if each["recorded"] and not each["passed"]:
                line(
                    f"not kept: {_short(each['path'], config)}: {each['recorded']} calls: the test failed", yellow=True
                )
            for text in each.get("not_kept", ()):
                line(f"not kept: {_short(each['path'], config)}: {text}", yellow=True)
        for problem in self._problems:
            line(problem, red=True)

    @property
    def unplayed(self) -> dict[str, list[int]]:
        """Positions of interactions that no test played, by file; a test that failed may have stopped before them."""
        left: dict[str, set[int]] = {}
        for each in self._reports:
            mine = set(each["unplayed"]) if each["passed"] else set()
            left[each["path"]] = left.get(each["path"], mine) & mine
        return {path: sorted(positions) for path, positions in left.items() if positions}

    def _duplicates(self) -> "list[list[tuple[Path, int]]]":
        """What several cassettes of this run hold; looked for where the run's report is asked for, as it reads them."""
        if self._settings.report is None:
            return []
        from dspex_testkit.cassettes.tools.hygiene import duplicates

        paths = sorted({Path(each["path"]) for each in self._reports if each["level"] == "lm"})
        found = duplicates(path for path in paths if path.exists())
        return [places for places in found if len({path for path, _ in places}) > 1]

    def _write(self, file: Path) -> None:
        reports = [
            # What a failed test would have played nobody knows; and HTTP traffic is not pruned.
            {**each, "unplayed": each["unplayed"] if each["passed"] and each["level"] == "lm" else []}
            for each in self._reports
        ]
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            self._problems.append(f"--lm-cassette-report: {file} cannot be written: {error.strerror}")


def _is_of_a_cassette(error: BaseException | None) -> bool:
    """Whether a failure is that of a recording, in whatever words it came out of the test."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, CassetteError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _short(path: str, config: pytest.Config) -> str:
    place = Path(path)
    return str(place.relative_to(config.rootpath)) if place.is_relative_to(config.rootpath) else path
