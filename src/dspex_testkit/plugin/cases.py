"""The hooks around each test: its case is made, guarded, reported and given back."""

import json
from collections.abc import Generator
from typing import Any

import pytest

from dspex_testkit.errors import CassetteError, MissingExtraError, UsageError
from dspex_testkit.plugin import markers
from dspex_testkit.plugin.advice import add_advice
from dspex_testkit.plugin.case import CASE, FIRST_FIXTURE, Case, may_have_cassette
from dspex_testkit.plugin.items import (
    ARTIFACTS_ATTRIBUTE,
    CALLS_ATTRIBUTE,
    PASSED,
    UNUSED_ATTRIBUTE,
    Cell,
    cell_of,
    is_live,
    process_of,
)
from dspex_testkit.plugin.options import Mode, Options

SEED = pytest.StashKey[int]()
"""The seed of this run of a test that runs with several."""
_FAILED = pytest.StashKey[bool]()
_CASSETTES = pytest.StashKey[list[dict[str, Any]]]()
"""What came of the test's cassettes, on its way into the report."""


class CaseHooks:
    """Gives each test that uses the kit, or has to be guarded, a `Case`.

    Args:
        options: What was said for the whole run.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._source: Any = None

    @pytest.hookimpl
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test over modes and LMs."""
        self._over_modes(metafunc)
        self._over_lms(metafunc)

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Skip what asks real providers, unless it was asked for."""
        if self._options.live:
            return
        for item in items:
            if is_live(item):
                cell = cell_of(item)
                reason = f"{cell.lm if cell else 'a real provider'} is asked under --lm-live only"
                item.add_marker(pytest.mark.skip(reason=reason))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Make the test's case before its first fixture, where more than a fixture wants it."""
        try:
            markers.check_names(item)
        except UsageError as error:
            raise pytest.fail.Exception(error.message, pytrace=False) from None
        if is_live(item) and not self._options.live:
            return  # it is about to be skipped
        if markers.concerns_lms(item) or self._options.policy is not None or self._options.block_network:
            names = getattr(item, "fixturenames", None)
            if names is not None and self._may_have_cassette(item):
                # What the suite's own fixtures say of recordings is known no earlier.
                item.fixturenames = list(dict.fromkeys([FIRST_FIXTURE, *names]))  # type: ignore[attr-defined]
            else:
                self.make_case(item)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say what LMs were asked, where the test failed; and for the run, in any case."""
        if call.excinfo is not None and not self._options.live and CASE in item.stash:
            add_advice(call.excinfo.value)
        report = yield
        if report.failed:
            from dspex_testkit.plugin.reporting import cut_secrets

            made = item.stash.get(CASE, None)
            cut_secrets(report, None if made is None else made.secrets)
        if report.when == "teardown" and (cassettes := item.stash.get(_CASSETTES, None)) is not None:
            from dspex_testkit.plugin.cassette_run import add_reports

            del item.stash[_CASSETTES]
            add_reports(report, cassettes, failed=item.stash.get(_FAILED, False))
        case = item.stash.get(CASE, None)
        if case is None:
            return report
        self._judge(item, case, report)
        item.stash[PASSED] = report.when == "call" and report.passed
        item.stash[_FAILED] = report.failed or (report.when != "setup" and item.stash.get(_FAILED, False))
        # The last word on the calls is had before the test's fixtures, and with them its bridges, are gone.
        if report.when == "teardown" or (report.when == "setup" and report.passed):
            return report
        from dspex_testkit.plugin import reporting

        test = reporting.describe(case, report, process=process_of(item.config))
        if case.used or test.calls:
            reporting.add_properties(case, test)
            report.user_properties = list(item.user_properties)
            setattr(report, CALLS_ATTRIBUTE, test.to_json())
            if report.failed:
                reporting.add_section(report, test)
                if self._options.artifacts is not None:
                    setattr(report, ARTIFACTS_ATTRIBUTE, reporting.artifacts_of(case, test))
        return report

    def _judge(self, item: pytest.Item, case: Case, report: pytest.TestReport) -> None:
        """Fail a test that has passed although what it says of its LMs was not used."""
        if report.when == "teardown" or (report.when == "setup" and report.passed):
            return
        from dspex_testkit.plugin import unused

        if not report.passed:
            told = unused.incomplete(item)
        else:
            problems, told = unused.judge(case)
            if problems:
                report.outcome, report.longrepr = "failed", unused.explain(problems)
        if told:
            setattr(report, UNUSED_ATTRIBUTE, json.dumps(told))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Take the bridges back, once no fixture of the test needs them any more."""
        done = False
        try:
            result = yield
            done = True
            return result
        finally:
            case = item.stash.get(CASE, None)
            if case is not None:
                del item.stash[CASE]
                try:
                    case.finish(
                        passed=item.stash.get(PASSED, False) and done, keep_bridges=self._options.reuse != "function"
                    )
                except CassetteError as error:
                    raise pytest.fail.Exception(error.message, pytrace=False) from None
                finally:
                    if case.cassettes is not None:
                        item.stash[_CASSETTES] = case.cassettes.reports
                    if self._options.reuse == "module" and _module_of(nextitem) != _module_of(item):
                        self._bridges().release()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """End the processes that are kept, before pytest-cov collects what they have measured."""
        try:
            return (yield)
        finally:
            if self._source is not None:
                self._source.close()
                self._source = None

    def make_case(self, item: pytest.Item, request: pytest.FixtureRequest | None = None) -> Case:
        """Begin a test's case; a marker written wrongly fails the test."""
        try:
            markers.seeds_mark(item)
            markers.lm_marks(item)
            markers.fault_marks(item)
            case = Case(
                item,
                self._options,
                self._bridges(),
                seed=item.stash.get(SEED, self._options.seed or 0),
                request=request,
            )
            item.stash[CASE] = case
            case.start()
        except (UsageError, CassetteError, MissingExtraError) as error:
            raise pytest.fail.Exception(error.message, pytrace=False) from None
        return case

    def _may_have_cassette(self, item: pytest.Item) -> bool:
        try:
            return may_have_cassette(item, self._options)
        except UsageError:
            return False  # and the case says what is written wrongly

    def _bridges(self) -> Any:
        if self._source is None:
            from dspex_testkit.plugin.bridges import BridgeSource

            self._source = BridgeSource()
        return self._source

    def _over_modes(self, metafunc: pytest.Metafunc) -> None:
        if "_dspex_bridge_mode" not in metafunc.fixturenames or len(self._options.modes) < 2:
            return
        if markers.bridge_mark(metafunc.definition).mode is not None:
            return
        modes: tuple[Mode, ...] = self._options.modes
        if "frozen_lm_clock" in metafunc.fixturenames:
            modes = ("inproc",)
        metafunc.parametrize("_dspex_bridge_mode", modes, indirect=True)

    def _over_lms(self, metafunc: pytest.Metafunc) -> None:
        mark = metafunc.definition.get_closest_marker("lm_matrix")
        if mark is None:
            return
        if not mark.args or mark.kwargs:
            raise UsageError("the marker lm_matrix takes LMs: lm_matrix('mock', 'openai/gpt-4o-mini')")
        if "lm_config" not in metafunc.fixturenames:
            raise UsageError(
                f"{metafunc.definition.nodeid}: the marker lm_matrix needs a fixture that gives an LM, such as "
                "dspy_lm, bridge or lm_config"
            )
        cells = [Cell(lm, live=not _is_mock(lm)) for lm in mark.args]
        metafunc.parametrize("lm_config", cells, indirect=True, ids=[_id_of(cell) for cell in cells])


def _is_mock(lm: Any) -> bool:
    if isinstance(lm, str):
        return lm == "mock" or lm.startswith("mock/")
    return isinstance(lm, dict) and lm.get("provider", lm.get("type")) == "mock"


def _id_of(cell: Cell) -> str:
    if isinstance(cell.lm, str):
        return cell.lm
    return str(cell.lm.get("model", "mock")) if isinstance(cell.lm, dict) else "lm"


def _module_of(item: pytest.Item | None) -> object:
    return None if item is None else item.path
