"""`lm_seeds`: one test, many seeds, one verdict.

The runs of a test are not tests of their own, because only together do they pass or fail, in one process. pytest has
no public way to run a test again: its hooks report each run to everybody, and only its own runner lets go of fixtures
so that they are made anew. Like pytest-rerunfailures this uses its `runtestprotocol`, in this one place and for such
tests alone; `tests/plugin/test_repeats.py` fails loudly when pytest changes it.
"""

import shlex
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from dspex_testkit.errors import UsageError
from dspex_testkit.plugin import markers
from dspex_testkit.plugin.cases import SEED
from dspex_testkit.plugin.items import ARTIFACTS_ATTRIBUTE, CALLS, CALLS_ATTRIBUTE, COST, SEED_USED, name_from_here
from dspex_testkit.plugin.options import Options

_SHOWN = 20
"""Failing seeds that are listed."""


class RepeatHooks:
    """Runs tests that are marked with `lm_seeds`.

    Args:
        options: What was said for the whole run.
    """

    def __init__(self, options: Options) -> None:
        self._options = options

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a test with each of its seeds; with the one of ``--lm-seed`` alone where that is given."""
        try:
            mark = markers.seeds_mark(item)
        except UsageError:
            return None  # said by the test's setup, where it can be reported
        if mark is None or self._options.seed is not None:
            return None
        from _pytest.runner import runtestprotocol

        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        runs: list[tuple[int, list[pytest.TestReport]]] = []
        seeds = list(range(mark.count))
        for seed in seeds:
            item.stash[SEED] = seed
            item.user_properties.clear()
            last = seed == mark.count - 1
            # With itself for a successor the test would keep its fixtures; its parent keeps what is shared.
            reports = runtestprotocol(item, log=False, nextitem=nextitem if last else item.parent)  # type: ignore[arg-type]
            runs.append((seed, reports))
            if seed == 0 and any(map(_was_skipped, reports)):
                # Others would be skipped too; one more, after which pytest lets go of what the next test does not need.
                del seeds[1:-1]
        for report in _verdict(item, runs, mark):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True


def _verdict(
    item: pytest.Item, runs: Sequence[tuple[int, list[pytest.TestReport]]], mark: markers.SeedsMark
) -> list[pytest.TestReport]:
    """One test's reports out of those of all its runs."""
    if any(map(_was_skipped, runs[0][1])):
        return runs[0][1]
    call = next((r for _, reports in runs for r in reports if r.when == "call"), None)
    if call is None:
        return runs[0][1]
    if any(map(_was_expected, _calls_of(runs))) and not any(map(_has_failed, _reports_of(runs))):
        return _expected_verdict(runs, mark)
    failing = [(seed, next(r for r in reports if r.failed)) for seed, reports in runs if any(r.failed for r in reports)]
    passed = len(runs) - len(failing)
    setup, teardown = runs[0][1][0], runs[-1][1][-1]
    call.duration = sum(r.duration for _, reports in runs for r in reports if r.when == "call")
    enough = passed >= mark.min_pass * len(runs)
    call.outcome = "passed" if enough else "failed"
    call.longrepr = None if enough else _explain(item, runs, failing, mark)
    summary = f"{passed} of {len(runs)} seeds passed"
    call.sections = [*(failing[0][1].sections if failing else ()), ("LM seeds", summary)] if not enough else []
    setup.outcome = teardown.outcome = "passed"
    setup.longrepr = teardown.longrepr = None
    teardown.user_properties = _properties(runs, failing)
    # What the first failing run leaves behind is what the test leaves behind.
    setattr(call, ARTIFACTS_ATTRIBUTE, None if enough else getattr(failing[0][1], ARTIFACTS_ATTRIBUTE, None))
    # The calls of every run belong to the test; those of the verdict's own run stay on its report.
    others = [_carrier(r) for _, reports in runs for r in reports if r is not call and hasattr(r, CALLS_ATTRIBUTE)]
    return [setup, call, *others, teardown]


def _expected_verdict(
    runs: Sequence[tuple[int, list[pytest.TestReport]]], mark: markers.SeedsMark
) -> list[pytest.TestReport]:
    """The reports of a test that is expected to fail: it does where too few of its runs pass, and is told once."""
    calls = _calls_of(runs)
    failed = [report for report in calls if report.skipped]
    passed = [report for report in calls if not report.skipped]
    call = passed[0] if len(passed) >= mark.min_pass * len(runs) else failed[0]
    call.duration = sum(report.duration for report in calls)
    others = [_carrier(report) for report in calls if report is not call and hasattr(report, CALLS_ATTRIBUTE)]
    teardown = runs[-1][1][-1]
    teardown.user_properties = _properties(runs, [])
    return [runs[0][1][0], call, *others, teardown]


def _reports_of(runs: Sequence[tuple[int, list[pytest.TestReport]]]) -> list[pytest.TestReport]:
    return [report for _, reports in runs for report in reports]


def _calls_of(runs: Sequence[tuple[int, list[pytest.TestReport]]]) -> list[pytest.TestReport]:
    return [report for report in _reports_of(runs) if report.when == "call"]


def _was_skipped(report: pytest.TestReport) -> bool:
    return report.skipped and not hasattr(report, "wasxfail")


def _was_expected(report: pytest.TestReport) -> bool:
    """Whether a test was expected to fail, and did or did not."""
    return hasattr(report, "wasxfail") or str(report.longrepr).startswith(_STRICT)


def _has_failed(report: pytest.TestReport) -> bool:
    return report.failed and not str(report.longrepr).startswith(_STRICT)


_STRICT = "[XPASS(strict)]"
"""How pytest begins to say that a test passed which was to fail."""


def _properties(
    runs: Sequence[tuple[int, list[pytest.TestReport]]], failing: Sequence[tuple[int, pytest.TestReport]]
) -> list[tuple[str, object]]:
    """JUnit's properties of the test: of all its runs together, and the seed of the one to look at."""
    told = [dict(reports[-1].user_properties) for _, reports in runs]
    calls, cost = (
        sum(int(str(each.get(CALLS, 0))) for each in told),
        sum(Decimal(str(each.get(COST, 0))) for each in told),
    )
    own = {
        CALLS: str(calls),
        COST: str(cost),
        SEED_USED: str(failing[0][0] if failing else runs[0][0]),
        "lm_seeds": f"{len(runs) - len(failing)}/{len(runs)}",
        "lm_failing_seeds": _listed([seed for seed, _ in failing]),
    }
    return [*((name, value) for name, value in told[-1].items() if name not in own), *own.items()]


def _explain(item: pytest.Item, runs: Any, failing: Any, mark: markers.SeedsMark) -> str:
    first_seed, first = failing[0]
    name = shlex.quote(name_from_here(item))
    return (
        f"{len(failing)} of {len(runs)} seeds failed ({_listed([seed for seed, _ in failing])}); "
        f"at least {mark.min_pass:.0%} have to pass.\n"
        f"The first of them, alone: pytest {name} --lm-seed={first_seed}\n\n{first.longreprtext}"
    )


def _listed(seeds: Sequence[int]) -> str:
    more = f" and {len(seeds) - _SHOWN} more" if len(seeds) > _SHOWN else ""
    return ", ".join(map(str, seeds[:_SHOWN])) + more


def _carrier(report: pytest.TestReport) -> pytest.TestReport:
    """A report that only brings calls to the run: no phase that anybody counts."""
    report.outcome = "passed"
    report.longrepr = None
    report.when = "setup"
    vars(report).pop("wasxfail", None)
    report.sections = []
    return report
