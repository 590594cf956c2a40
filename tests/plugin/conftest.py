"""The plugin is tested by small suites that pytester runs, most of them in this process."""

from importlib import import_module

import dspy  # noqa: F401
import pytest

from dspex_testkit import bridge
from dspex_testkit.cassettes import CassetteLM, open_cassette
from dspex_testkit.lm.factory import LMFactory
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.simulator import ProviderSimulator

# pytester forgets what a suite in this process has imported. What is imported already is kept, so that the next suite
# does not meet two of each class.
for _name in (
    "bridges",
    "facade",
    "introspection",
    "journal",
    "lms",
    "policy",
    "reporting",
    "timeline",
    "unused",
    "watched",
):
    import_module(f"dspex_testkit.plugin.{_name}")
assert all((bridge.Bridge, CassetteLM, open_cassette, LMFactory, MockLM, ProviderSimulator))

PLUGINS = "dspex_testkit.plugin,pytest_asyncio.plugin,anyio.pytest_plugin,xdist.plugin,syrupy"


@pytest.fixture(autouse=True)
def _without_the_garbage_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier tests left to the garbage collector, litellm's clients above all, is no small suite's business."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-W ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _only_what_is_needed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load few plugins into the small suites, for most of their time goes into that; neighbours are another matter."""
    if request.path.stem != "test_neighbours":
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        monkeypatch.setenv("PYTEST_PLUGINS", PLUGINS)
