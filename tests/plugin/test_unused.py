"""What a test says of its LMs is used, or the test says so."""

import pytest

pytest_plugins = ["pytester"]

PROGRAM = """
import dspy
import pytest

qa = dspy.Predict("question -> answer")

"""


def run(pytester: pytest.Pytester, code: str, *options: str, conftest: str = "") -> pytest.RunResult:
    """The outcome of a suite of one file."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest(conftest)
    pytester.makepyfile(test_it=PROGRAM + code)
    return pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", *options)


BESIDE = """
@pytest.mark.lm("openai/gpt-4o", responses={"default": "Paris"})
def test_beside(mock_lm):
    with dspy.context(lm=dspy.utils.DummyLM([{"answer": "Rome"}])):
        assert qa(question="?").answer == "Rome"
"""


def test_a_marker_that_no_call_reached_fails_its_test(pytester: pytest.Pytester) -> None:
    """Beside a program on another model it says nothing of what is tested."""
    result = run(pytester, BESIDE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no call reached the marker lm(*model*responses*"])


def test_it_may_be_only_reported(pytester: pytest.Pytester) -> None:
    """By the option for the run, or on the marker."""
    result = run(pytester, BESIDE, "--lm-unused=report")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_it.py::test_beside: the marker lm(*no call reached it"])
    result = run(pytester, BESIDE.replace('lm("openai', 'lm(unused="allow", model="openai').replace('4o", ', '4o", '))
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*no call reached*")


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("lm(script=['a', 'b'])", "script?1? was not used"),
        ("lm(rules=[{'name': 'twice', 'answer': 'a', 'times': 2}, {'answer': 'b'}])", "twice was used 1 of 2 times"),
        ("lm(default='a', faults=[{'kind': 'stall', 'calls': [2]}])", "the fault stall struck 0 of 1 calls"),
        ("lm_faults('stall', calls=[2])", "the fault stall struck 0 of 1 calls"),
    ],
)
def test_answers_that_were_not_used_up_fail_the_test(pytester: pytest.Pytester, marker: str, told: str) -> None:
    """A script's, those with a number of times, and faults of certain calls."""
    code = f"""
@pytest.mark.{marker}
def test_once(dspy_lm):
    qa(question="?")
"""
    result = run(pytester, code)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{told}"])


def test_what_was_used_up_passes(pytester: pytest.Pytester) -> None:
    """In fixtures, under the policy, and in bridges of any mode."""
    code = """
@pytest.mark.lm(script=["a", "b"])
def test_fixture(dspy_lm):
    assert [qa(question="?").answer, qa(question="?").answer] == ["a", "b"]

@pytest.mark.lm_policy("mock")
@pytest.mark.lm("openai/gpt-4o", script=["a"])
@pytest.mark.lm(script=["general"])
def test_policy():
    assert qa(question="?", lm=dspy.LM("openai/gpt-4o")).answer == "a"
    assert qa(question="?", lm=dspy.LM("openai/other")).answer == "general"

@pytest.mark.lm("openai/gpt-4o", script=["a"])
def test_bridge(bridge):
    assert bridge.create_program("question -> answer")(question="?").answer == "a"

@pytest.mark.lm_faults("stall", calls=[1], stall_ms=1)
def test_fault(dspy_lm):
    qa(question="?")

@pytest.mark.lm_matrix("mock")
@pytest.mark.lm(script=["not asked"])
def test_matrix(dspy_lm):
    qa(question="?")
"""
    run(pytester, code, "--bridge-mode=all").assert_outcomes(passed=7)


STUBS = """
@pytest.mark.parametrize("question", ["one", "two"])
@pytest.mark.lm(responses={"one": "1", "two": "2", "three": "3", "default": "?"})
def test_table(dspy_lm, question):
    qa(question=question)
"""


def test_tables_and_rules_are_judged_over_all_parameters_and_reported(pytester: pytest.Pytester) -> None:
    """They are stubs; what no parameter asked for is told, and fails the run that wants it so."""
    result = run(pytester, STUBS)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_it.py::test_table: the marker lm(*not used: responses?'three'?"])
    result = run(pytester, STUBS, "--lm-unused=fail")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_what_a_part_of_the_tests_did_not_use_is_not_told(pytester: pytest.Pytester) -> None:
    """The others may have."""
    result = run(pytester, STUBS, "-k", "one")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.no_fnmatch_line("*not used*")


def test_a_misspelt_signature_in_a_rule_is_told(pytester: pytest.Pytester) -> None:
    """The rule applies to nothing, and another answers."""
    code = """
@pytest.mark.lm(rules=[{"name": "mine", "when": {"signature": "StringSingature"}, "answer": "a"}, {"answer": "b"}])
def test_rule(dspy_lm):
    assert qa(question="?").answer == "b"
"""
    result = run(pytester, code)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*not used: mine"])


def test_markers_of_classes_and_modules_are_judged_over_all_their_tests(pytester: pytest.Pytester) -> None:
    """One of which may use them; where none does, that is reported."""
    code = """
pytestmark = pytest.mark.lm("openai/nobody", responses={"default": "x"})

@pytest.mark.lm(script=["a"], unused="report")
class TestClass:
    def test_uses(self, dspy_lm):
        assert qa(question="?").answer == "a"

    def test_does_not(self):
        pass
"""
    result = run(pytester, code)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_it.py: the marker lm(*no call reached it"])
    result.stdout.no_fnmatch_line("*TestClass*")


def test_a_test_that_failed_or_is_expected_to_is_not_judged(pytester: pytest.Pytester) -> None:
    """It has not come to its end."""
    code = """
@pytest.mark.xfail(strict=True)
@pytest.mark.lm(script=["a"])
def test_expected(dspy_lm):
    raise AssertionError

@pytest.mark.lm(script=["a"])
def test_skips(dspy_lm):
    pytest.skip("not today")
"""
    run(pytester, code).assert_outcomes(xfailed=1, skipped=1)


def test_unused_markers_are_told_from_all_processes_of_a_run(pytester: pytest.Pytester) -> None:
    """What one parameter used on another process was used."""
    result = run(pytester, STUBS, "-n2")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*not used: responses?'three'?"])


def test_a_marker_that_is_nearly_one_of_ours_is_an_error(pytester: pytest.Pytester) -> None:
    """It would do nothing; one that is registered is somebody's own, and short names may be anything."""
    code = """
@pytest.mark.lm_fault("rate_limit")
def test_mistyped():
    pass

@pytest.mark.lm_faulty
def test_own():
    pass

@pytest.mark.ln
def test_short():
    pass
"""
    result = run(
        pytester,
        code,
        "-W",
        "ignore::pytest.PytestUnknownMarkWarning",
        conftest="def pytest_configure(config):\n    config.addinivalue_line('markers', 'lm_faulty: ours')\n",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*'lm_fault' is not registered*did you mean 'lm_faults'*"])


def test_derived_answers_can_be_forbidden(pytester: pytest.Pytester) -> None:
    """For a run, in fixtures, under the policy and in bridges; a spec may say otherwise."""
    code = """
import dspy

def test_fixture(dspy_lm):
    qa(question="?")

@pytest.mark.lm_policy("mock")
def test_policy():
    qa(question="?", lm=dspy.LM("openai/gpt-4o"))

@pytest.mark.lm("mock")
def test_bridge(bridge):
    bridge.create_program("question -> answer")(question="?")

@pytest.mark.lm(default={"answer": "x"})
def test_partly(dspy_lm):
    dspy.Predict("question -> answer, more")(question="?")

@pytest.mark.lm(default="x")
def test_given(dspy_lm):
    qa(question="?")

@pytest.mark.lm(derived="allow")
def test_allowed(dspy_lm):
    qa(question="?")

@pytest.mark.lm(mode="random")
def test_random(dspy_lm):
    qa(question="?")
"""
    result = run(pytester, code, "--lm-derived=fail")
    result.assert_outcomes(failed=4, passed=3)
    result.stdout.fnmatch_lines(["*Nobody gave an answer*derived='fail'*"])
    run(pytester, code).assert_outcomes(passed=7)
