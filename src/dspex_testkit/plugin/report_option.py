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
        self._error: str | None = None

    @pytest.hookimpl
    def pytest_dspex_lm_calls(self, journal: "RunJournal") -> None:
        """Keep what the run has collected."""
        self._tests = journal.tests

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Write the page, of no calls where there were none; the run fails where that is impossible."""
        result = yield
        return result

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where the page is."""


def _wanted(config: pytest.Config) -> Path | None:
    given = config.getoption(_NAME)
    if given is not None:
        return config.invocation_params.dir / Path(given).expanduser()
    ini = config.getini(_NAME)
    return config.rootpath / Path(ini).expanduser() if ini else None
