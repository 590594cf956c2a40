"""The plugin is tested by small suites that pytester runs, most of them in this process."""

import pkgutil
from importlib import import_module

import dspy  # noqa: F401

from dspex_testkit import bridge, plugin
from dspex_testkit.cassettes import CassetteLM, open_cassette
from dspex_testkit.lm.factory import LMFactory
from dspex_testkit.mock_lm import MockLM

# pytester forgets what a suite in this process has imported. What is imported already is kept, so that the next suite
# does not meet two of each class.
for _found in pkgutil.walk_packages(plugin.__path__, f"{plugin.__name__}."):
    import_module(_found.name)
assert all((bridge.Bridge, CassetteLM, open_cassette, LMFactory, MockLM))
