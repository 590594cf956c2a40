"""``--lm-report``: the LM calls of the whole run as one page."""

from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dspex_testkit.plugin.journal_files import RunJournal, TestCalls

_NAME = "lm_report"


def add_option(parser: pytest.Parser) -> None:
    """Declare the option and its ini key."""
    group = parser.getgroup("dspex-testkit", "bridges and LMs (dspex-testkit)")
    group.addoption(
        "--lm-report",
        dest=_NAME,
        default=None,
        metavar="FILE",
        help="Draw the LM calls of all tests as an HTML page: who answered, and which scope decided.",
    )
    parser.addini(_NAME, "The same as --lm-report.", default=None)


def configure(config: pytest.Config) -> None:
    """Join the run, where a report is wanted.

    Raises:
        pytest.UsageError: A report is wanted, and what draws it is not installed.
    """
    path = _wanted(config)
    # With pytest-xdist the process that controls the others has the calls of all.
    if path is None or hasattr(config, "workerinput"):
        return
    if find_spec("jinja2") is None:
        raise pytest.UsageError(
            "--lm-report needs the extra 'report'; install it with: pip install 'dspex-testkit[report]'"
        )
    config.pluginmanager.register(ReportHooks(path), "dspex-testkit-report")


class ReportHooks:
    """Draws the calls when the run has ended.

    Args:
        path: Where the page goes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: list[TestCalls] = []
        self._outcome: tuple[str, bool] | None = None

    @pytest.hookimpl
    def pytest_dspex_lm_calls(self, journal: "RunJournal") -> None:
        """Keep what the run has collected."""
        self._tests = journal.tests

    # As the innermost wrapper: after the calls were handed over, before the terminal's summary.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Write the page, also where no LM was called; where it cannot be written, the run fails."""
        from dspex_testkit.errors import DSPexTestkitError

        yield
        try:
            self._write(session.config)
            self._outcome = f"LM calls drawn in {self._path}", True
        except DSPexTestkitError as error:
            self._outcome = f"--lm-report: {error.message}", False
            session.exitstatus = session.exitstatus or pytest.ExitCode.USAGE_ERROR

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where the page is, or why there is none."""
        if self._outcome is not None:
            text, well = self._outcome
            terminalreporter.write_line(text, red=not well)

    def _write(self, config: pytest.Config) -> None:
        from dspex_testkit import __version__
        from dspex_testkit.report import render, write

        about = ("nodeid", "outcome", "seed", "mode", "rerun")
        page = render(
            [{**call.to_dict(), "test": test.nodeid} for test in self._tests for call in test.calls],
            changes=[{**change.to_dict(), "test": test.nodeid} for test in self._tests for change in test.changes],
            tests=[{name: getattr(test, name) for name in about} for test in self._tests],
            title=f"LM calls of {config.rootpath.name}",
            meta={
                "tests": sum(bool(test.calls) for test in self._tests),
                "seed": config.getoption("lm_seed", None),
                "dspex-testkit": __version__,
            },
        )
        write(self._path, page)


def _wanted(config: pytest.Config) -> Path | None:
    given = config.getoption(_NAME)
    if given is not None:
        return config.invocation_params.dir / Path(given).expanduser()
    ini = config.getini(_NAME)
    return config.rootpath / Path(ini).expanduser() if ini else None
