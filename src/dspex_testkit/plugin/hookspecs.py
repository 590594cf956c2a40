"""Hooks by which a test suite extends the plugin, in its ``conftest.py``."""

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dspex_testkit.plugin.journal_files import RunJournal


@pytest.hookspec
def pytest_dspex_configure_bridge(item: pytest.Item, settings: MutableMapping[str, Any]) -> None:
    """Change what a bridge is told at its start.

    Args:
        item: The test that wants the bridge.
        settings: By the names of the settings file, such as ``strict``; to be changed in place.
    """


@pytest.hookspec(firstresult=True)
def pytest_dspex_lm_config(item: pytest.Item, config: Any) -> Any:
    """Give the LM config of a test another form, for example a model of the suite's own.

    Args:
        item: The test.
        config: What its markers say, or None.

    Returns:
        The config to be used, or None to leave it.
    """


@pytest.hookspec
def pytest_dspex_lm_calls(config: pytest.Config, journal: "RunJournal") -> None:
    """The run has ended, and these are the LM calls of all its tests.

    Called once, in the process that controls the run, also where pytest-xdist spread the tests over several.

    Args:
        config: Of the run.
        journal: Tests with their calls.
    """
