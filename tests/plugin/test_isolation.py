"""No test reaches into the next one: not by `dspy.configure`, not by a bridge or LM that it keeps."""

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")


CONFIGURING = """
import dspy
import pytest
from dspex_testkit import MockLM

@pytest.fixture
def configured():
    dspy.configure(adapter=dspy.JSONAdapter())

def test_configures({fixture}configured):
    dspy.configure(lm=MockLM.deterministic(default="mine"), max_errors=3, something_new=1)

def test_next():
    assert dspy.settings.lm is None
    assert dspy.settings.adapter is None
    assert dspy.settings.max_errors == 10
    assert "something_new" not in dspy.settings
    import sys
    assert sys.modules["dspy.dsp.utils.settings"].config_owner_thread_id is None
"""


def _fresh_run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", *options)


def test_what_a_test_configures_is_put_back(pytester: pytest.Pytester) -> None:
    """With what its own fixtures configured, and the thread that may change it."""
    pytester.makepyfile(test_it=CONFIGURING.format(fixture="lm_journal, "))
    _fresh_run(pytester).assert_outcomes(passed=2)


def test_tests_that_do_not_use_the_kit_are_left_alone_unless_the_suite_asks(pytester: pytest.Pytester) -> None:
    """By the ini key."""
    pytester.makepyfile(test_it=CONFIGURING.format(fixture=""))
    _fresh_run(pytester).assert_outcomes(passed=1, failed=1)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nlm_isolate_settings = true\n")
    _fresh_run(pytester).assert_outcomes(passed=2)


def test_what_wider_fixtures_configure_stays_until_they_end(pytester: pytest.Pytester) -> None:
    """A suite's own LM for all its tests, and a module's adapter; each test may put its own in the place of them."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nlm_isolate_settings = true\n")
    pytester.makeconftest(
        """
import dspy
import pytest
from dspex_testkit import MockLM

@pytest.fixture(scope="session", autouse=True)
def whole_suite():
    dspy.configure(lm=MockLM.deterministic(default="suite"))

@pytest.fixture(scope="session")
def late():
    dspy.configure(max_errors=7)
"""
    )
    module = """
import dspy
import pytest

qa = dspy.Predict("question -> answer")

@pytest.fixture(scope="module")
def whole_module():
    dspy.configure(adapter=dspy.JSONAdapter())

def test_first(whole_module, lm_journal):
    assert qa(question="?").answer == "suite"
    dspy.configure(lm=None, adapter=None)

def test_second(whole_module, late):
    assert qa(question="?").answer == "suite"
    assert isinstance(dspy.settings.adapter, dspy.JSONAdapter)
"""
    pytester.makepyfile(
        test_a=module,
        test_b="""
import dspy

def test_another_module():
    assert dspy.settings.lm is not None
    assert dspy.settings.adapter is None
    assert dspy.settings.max_errors == 7
""",
    )
    _fresh_run(pytester).assert_outcomes(passed=3)


@pytest.mark.parametrize("mode", ["inproc", "standalone", "pool"])
def test_a_bridge_that_is_kept_answers_nobody_after_its_test(pytester: pytest.Pytester, mode: str) -> None:
    """It may be the next test's by then."""
    pytester.makepyfile(
        test_it="""
import pytest
from dspex_testkit.errors import UsageError

kept = []

def test_keeps(bridge):
    bridge.configure_lm("openai/gpt-4o")
    program = bridge.create_program("question -> answer")
    kept.extend([bridge, program, bridge.session("alice")])

def test_next(bridge, lm_journal):
    old, program, session = kept
    for late in (lambda: old.configure_lm("openai/other"), lambda: program(question="?"),
                 lambda: session.create_program("a -> b"), lambda: old.reset()):
        with pytest.raises(UsageError, match="belonged to test test_it.py::test_keeps"):
            late()
    bridge.create_program("question -> answer")
    assert not lm_journal.calls
"""
    )
    pytester.runpytest_inprocess("-q", f"--bridge-mode={mode}").assert_outcomes(passed=2)


def test_a_late_call_lands_in_no_other_tests_journal(pytester: pytest.Pytester) -> None:
    """Of an LM that a fixture gave to a test which has ended."""
    pytester.makepyfile(
        test_it="""
kept = []

def test_keeps(dspy_lm):
    kept.append(dspy_lm)

def test_next(lm_journal):
    kept[0]("late")
    assert not lm_journal.calls
"""
    )
    pytester.runpytest_inprocess("-q").assert_outcomes(passed=2)


@pytest.mark.parametrize("mode", ["inproc", "standalone", "pool"])
def test_a_time_limit_is_heeded_in_every_mode(pytester: pytest.Pytester, mode: str) -> None:
    """With the same error."""
    pytester.makepyfile(
        test_it="""
import asyncio
import pytest
from dspex_testkit.errors import WorkerTimeoutError

SLOW = {"provider": "mock", "responses": {"default": "x"}, "latency_ms": 600000}

def test_slow(bridge):
    program = bridge.create_program("question -> answer", lm=SLOW)
    with pytest.raises(WorkerTimeoutError):
        program.execute({"question": "?"}, timeout=0.3)

def test_slow_async(bridge):
    program = bridge.create_program("question -> answer", lm=SLOW)
    with pytest.raises(WorkerTimeoutError):
        asyncio.run(program.aexecute({"question": "?"}, timeout=0.3))
"""
    )
    pytester.runpytest_inprocess("-q", f"--bridge-mode={mode}").assert_outcomes(passed=2)


def test_a_factory_refuses_modes_and_workers_that_there_are_not(pytester: pytest.Pytester) -> None:
    """Naming those that there are."""
    pytester.makepyfile(
        test_it="""
import pytest
from dspex_testkit.errors import UsageError

@pytest.mark.parametrize(("given", "message"), [
    ({"mode": "x"}, "mode is one of inproc, standalone, pool, got 'x'"),
    ({"mode": ""}, "mode is one of"),
    ({"mode": "standalon"}, "did you mean 'standalone'"),
    ({"mode": "pool", "workers": 0}, "workers is a number of at least 1, got 0"),
    ({"workers": True}, "workers is a number of at least 1"),
])
def test_refused(bridge_factory, given, message):
    with pytest.raises(UsageError, match=message):
        bridge_factory(**given)
"""
    )
    pytester.runpytest_inprocess("-q").assert_outcomes(passed=5)


def test_an_overridden_lm_config_against_a_marker_is_told(pytester: pytest.Pytester) -> None:
    """The marker's LM is then nobody's."""
    pytester.makepyfile(
        test_it="""
import dspy
import pytest

@pytest.fixture
def lm_config():
    return {"provider": "mock", "model": "other", "responses": {"default": "fixture"}}

@pytest.mark.lm("openai/gpt-4o", responses={"default": "marker"})
def test_both(dspy_lm):
    assert dspy.Predict("question -> answer")(question="?").answer == "fixture"
"""
    )
    result = pytester.runpytest_inprocess("-q")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no call reached the marker lm(*"])
