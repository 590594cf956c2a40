"""`dspy.configure` in a test does not reach the next one.

What a test and its function-scoped fixtures have configured is put back when the test has ended: values, and the
thread and task that may change them. What fixtures of a wider scope configure stays until they end. This holds for
tests that use the kit, and for all with ``lm_isolate_settings``; and only where dspy is imported.
"""

import sys
from collections.abc import Generator
from typing import Any

import pytest

from dspex_testkit.plugin.case import CASE
from dspex_testkit.plugin.options import Options


class IsolationHooks:
    """Puts DSPy's settings back after each test.

    Args:
        options: What was said for the run.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._before_test: Any = None
        """The settings to which the running test is put back."""
        self._changes: dict[Any, tuple[Any, Any]] = {}
        """The settings before and after the set-up of each fixture of a wider scope that has changed them."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Remember what is configured."""
        self._before_test = _now()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Take what a fixture of a wider scope configures for what the test has found."""
        if fixturedef.scope == "function":
            return (yield)
        before = _now()
        try:
            return (yield)
        finally:
            after = _now()
            if after is not None:
                before = _fresh() if before is None else before
                if after.differs(before):
                    self._changes[fixturedef] = (before, after)
                    self._before_test = after

    @pytest.hookimpl
    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Put back what a fixture of a wider scope has configured, once it has ended."""
        if fixturedef in self._changes:
            before, after = self._changes.pop(fixturedef)
            _put_back(_now().without(before, after))
            if self._before_test is not None:
                self._before_test = self._before_test.without(before, after)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Put back what the test and its own fixtures have configured."""
        used = self._options.isolate or CASE in item.stash
        try:
            return (yield)
        finally:
            if used and "dspy" in sys.modules:
                _put_back(_fresh() if self._before_test is None else self._before_test)


def _put_back(snapshot: Any) -> None:
    from dspex_testkit.dspy_internals.global_settings import put_back

    put_back(snapshot)


def _fresh() -> Any:
    from dspex_testkit.dspy_internals.global_settings import fresh

    return fresh()


def _now() -> Any:
    """The settings; None where dspy is not imported, and nobody can have configured it."""
    if "dspy" not in sys.modules:
        return None
    from dspex_testkit.dspy_internals.global_settings import take_snapshot

    return take_snapshot()
