"""The pytest plugin: bridges in any mode as a fixture, mock LMs, and assertions on which LM answered.

Loaded wherever pytest and this package meet, so it imports next to nothing, and does nothing to tests that use nothing
of it.

    options        what can be said on the command line and in the ini file
    markers        what a test says
    hookspecs      how a suite extends the plugin
    fixtures       what tests ask for
    case, cases    one test: its bridges, LMs, `case_calls` and network; and the hooks around it
    items          what pytest says of a test, and what its reports carry
    bridges        bridges that are made by `bridge_plans`, kept and given back clean
    facade         a bridge as tests like to see it, with its programs, their `answers`, and `lm_configs`
    journal        a test's LM calls, with `assertions` over them, a `timeline` where one fails, and `introspection`
                   for a plain assert
    lms            the LMs that fixtures give
    policy         who answers for LMs that tests build themselves, through `dspy_internals.execution`
    watched        calls of LMs that write none down themselves
    reporting, run what reports say of LM calls, and what becomes of those of the whole run
    journal_files  calls as JSON
    report_option  calls as a page
    repeats        one test with many seeds
    advice         what to write where nobody answers for an LM
    isolation      DSPy's settings, put back after each test
    unused         what markers say and nobody asks for
    cassettes      a test's recordings, with `bridge_cassettes` for those of bridges; `cassette_settings` and
                   `cassette_plans` say which, and what for, `cassette_run` what became of all of them, and
                   `cassette_orphans` which belong to no test
    simulated      providers on this machine, for one test
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from dspex_testkit.errors import UsageError
from dspex_testkit.plugin import cassette_settings, fixtures, hookspecs, markers, report_option
from dspex_testkit.plugin.case import MAKE_CASE
from dspex_testkit.plugin.options import OPTIONS, add_options, read_options

if TYPE_CHECKING:
    from dspex_testkit.calls import Prompt
    from dspex_testkit.plugin.answers import Answer, AnsweredBy
    from dspex_testkit.plugin.cassettes import CassetteFixture
    from dspex_testkit.plugin.facade import BridgeFixture, Program, Session
    from dspex_testkit.plugin.fixtures import BridgeFactory
    from dspex_testkit.plugin.journal import LMJournal
    from dspex_testkit.plugin.journal_files import RunJournal, TestCalls
    from dspex_testkit.plugin.simulated import SimulatedProviders

__all__ = [
    "Answer",
    "AnsweredBy",
    "BridgeFactory",
    "BridgeFixture",
    "CassetteFixture",
    "LMJournal",
    "Program",
    "Prompt",
    "RunJournal",
    "Session",
    "SimulatedProviders",
    "TestCalls",
]

_HOMES = {
    "Answer": f"{__name__}.answers",
    "AnsweredBy": f"{__name__}.answers",
    "BridgeFactory": f"{__name__}.fixtures",
    "BridgeFixture": f"{__name__}.facade",
    "CassetteFixture": f"{__name__}.cassettes",
    "LMJournal": f"{__name__}.journal",
    "Program": f"{__name__}.facade",
    "Prompt": "dspex_testkit.calls",
    "RunJournal": f"{__name__}.journal_files",
    "Session": f"{__name__}.facade",
    "SimulatedProviders": f"{__name__}.simulated",
    "TestCalls": f"{__name__}.journal_files",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and ini keys."""
    add_options(parser)
    cassette_settings.add_options(parser)
    report_option.add_option(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks by which a suite extends the plugin."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options and join the run."""
    from dspex_testkit.plugin.cases import CaseHooks
    from dspex_testkit.plugin.cassette_run import CassetteRunHooks
    from dspex_testkit.plugin.isolation import IsolationHooks
    from dspex_testkit.plugin.repeats import RepeatHooks
    from dspex_testkit.plugin.run import RunHooks
    from dspex_testkit.plugin.unused import UnusedHooks

    markers.declare(config)
    # In front, so that whatever a suite says of these warnings comes after it and counts.
    config.getini("filterwarnings").insert(0, "error::dspex_testkit.errors.BridgeWarning")
    try:
        options = read_options(config)
        recordings = cassette_settings.read_settings(config)
    except UsageError as error:
        raise pytest.UsageError(error.message) from None
    config.stash[OPTIONS] = options
    config.stash[cassette_settings.CASSETTE_SETTINGS] = recordings
    manager = config.pluginmanager
    manager.register(fixtures, "dspex-testkit-fixtures")
    cases = CaseHooks(options)
    config.stash[MAKE_CASE] = cases.make_case
    manager.register(cases, "dspex-testkit-cases")
    manager.register(RepeatHooks(options), "dspex-testkit-repeats")
    manager.register(IsolationHooks(options), "dspex-testkit-isolation")
    manager.register(UnusedHooks(options), "dspex-testkit-unused")
    manager.register(RunHooks(config, options), "dspex-testkit-run")
    manager.register(CassetteRunHooks(recordings, config), "dspex-testkit-cassettes")
    report_option.configure(config)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Say how LM calls and answers differ."""
    import sys

    # Without our values there is nothing to say, and nothing to import.
    if "dspex_testkit.plugin.answers" not in sys.modules and "dspex_testkit.plugin.journal" not in sys.modules:
        return None
    from dspex_testkit.plugin.introspection import explain

    return explain(op, left, right)
