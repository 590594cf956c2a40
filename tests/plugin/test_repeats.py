"""One test with many seeds, over several LMs, within a budget."""

import inspect
import re

import pytest
from _pytest import runner

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("collected")


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --strict-markers\nasyncio_default_fixture_loop_scope = function\n")


SEEDS = """
    import pytest

    made = []

    @pytest.fixture
    def fresh():
        made.append(1)
        return len(made)

    @pytest.mark.lm_seeds(10, min_pass=0.8)
    def test_mostly(lm_seed, fresh, bridge):
        bridge.configure_lm("openai/gpt-4o")
        bridge.create_program("question -> answer")(question="?")
        assert fresh == lm_seed + 1
        assert lm_seed not in (3, 7)

    @pytest.mark.lm_seeds(10, min_pass=0.95)
    def test_hardly_ever_wrong(lm_seed, lm_journal):
        assert lm_seed not in (3, 7)

    @pytest.mark.lm_seeds(4)
    @pytest.mark.lm(mode="random")
    def test_answers_follow_the_seed(dspy_lm, lm_seed, request):
        import dspy
        heard = request.config.stash.setdefault(KEY, set())
        heard.add(dspy.Predict("question -> answer")(question="?").answer)
        assert len(heard) == lm_seed + 1

    KEY = pytest.StashKey()
"""


def test_pytest_still_has_the_function_that_runs_a_test_again() -> None:
    """The canary: pytest moved its runner, or calls it with other arguments."""
    assert list(inspect.signature(runner.runtestprotocol).parameters) == ["item", "log", "nextitem"]


def test_a_test_passes_by_the_share_of_its_seeds(pytester: pytest.Pytester) -> None:
    """One verdict, with fresh fixtures for each seed; the failing seeds are named, with the command for the first."""
    pytester.makepyfile(test_it=SEEDS)

    run = pytester.runpytest_inprocess("--lm-journal=calls.jsonl", "--junitxml=junit.xml")

    run.assert_outcomes(passed=2, failed=1)
    run.stdout.fnmatch_lines(
        [
            "2 of 10 seeds failed (3, 7); at least 95% have to pass.",
            "The first of them, alone: pytest test_it.py::test_hardly_ever_wrong --lm-seed=3",
            "*assert 3 not in (3, 7)*",
        ]
    )
    calls = [line for line in (pytester.path / "calls.jsonl").read_text(encoding="utf-8").splitlines() if line]
    assert sum("test_mostly" in line and "lm_changed" not in line for line in calls) == 10
    junit = (pytester.path / "junit.xml").read_text(encoding="utf-8")
    assert '<property name="lm_seeds" value="8/10"' in junit
    assert '<property name="lm_calls" value="10"' in junit


def test_many_seeds_leave_what_the_first_failing_one_leaves(pytester: pytest.Pytester) -> None:
    """And nothing where enough of them pass."""
    pytester.makepyfile(test_it=SEEDS)

    pytester.runpytest_inprocess("--lm-artifacts=kept")

    (folder,) = (pytester.path / "kept").iterdir()
    assert "seed 3" in (folder / "about.txt").read_text(encoding="utf-8")


def test_a_seed_that_is_given_runs_alone(pytester: pytest.Pytester) -> None:
    """To look at the one that fails."""
    pytester.makepyfile(test_it=SEEDS)

    pytester.runpytest_inprocess("--lm-seed=3", "-k", "hardly").assert_outcomes(failed=1)
    pytester.runpytest_inprocess("--lm-seed=4", "-k", "hardly").assert_outcomes(passed=1)


def test_seeds_may_be_skipped_and_written_wrongly(pytester: pytest.Pytester) -> None:
    """A skipped test is skipped once; a marker without a number is explained."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.lm_seeds(5)
        def test_skipped(lm_seed): pytest.skip("not today")

        @pytest.mark.lm_seeds("many")
        def test_wrong(lm_seed): pass

        @pytest.mark.lm_seeds(3)
        def test_broken_setup(missing_fixture): pass
        """
    )

    run = pytester.runpytest_inprocess()

    assert run.parseoutcomes() == {"skipped": 1, "errors": 2}
    run.stdout.fnmatch_lines(["*the marker lm_seeds takes a number of seeds: lm_seeds(20, min_pass=0.95)*"])


MATRIX = """
    import dspy
    import pytest

    @pytest.mark.lm_matrix("mock", "openai/gpt-4o-mini", {"provider": "mock", "model": "other"})
    def test_matrix(dspy_lm, lm_journal):
        dspy.Predict("question -> answer")(question="?")
        lm_journal.assert_call_count(1)
"""


def test_live_cells_of_a_matrix_run_when_asked_for(pytester: pytest.Pytester) -> None:
    """Else they are skipped, and say why."""
    pytester.makepyfile(test_it=MATRIX)

    run = pytester.runpytest_inprocess("-v", "-rs")

    run.assert_outcomes(passed=2, skipped=1)
    run.stdout.fnmatch_lines(
        ["*test_matrix[[]mock[]] PASSED*", "*openai/gpt-4o-mini is asked under --lm-live only*"], consecutive=False
    )


def test_a_matrix_without_an_lm_is_explained(pytester: pytest.Pytester) -> None:
    """The marker has nothing to give the LM to."""
    pytester.makepyfile("import pytest\n\n@pytest.mark.lm_matrix('mock')\ndef test_it(): pass\n")

    run = pytester.runpytest_inprocess()

    run.stdout.fnmatch_lines(["*the marker lm_matrix needs a fixture that gives an LM, such as dspy_lm*"])


LIVE = """
    import dspy
    import pytest
    from dspex_testkit.simulator import ProviderSimulator

    pytestmark = [pytest.mark.lm_live, pytest.mark.parametrize("number", range(3))]

    @pytest.fixture(scope="module")
    def target():
        with ProviderSimulator() as simulator:
            yield simulator.target("openai/gpt-4o-mini", spec={"responses": {"default": "live"}})

    def test_own(mock_lm, target, number, lm_journal):
        assert dspy.Predict("question -> answer")(question=str(number), lm=target.lm()).answer == "live"
        assert [call.mocked for call in lm_journal] == [False]
        assert lm_journal.cost > 0

    def test_bridge(bridge, target, number, lm_journal):
        bridge.configure_lm(target.model, api_key=target.api_key, api_base=target.api_base)
        assert bridge.create_program("question -> answer")(question="?").answer == "live"
        assert [call.mocked for call in lm_journal] == [False]
        assert lm_journal.cost > 0
        assert len(lm_journal.prompts) == 1

    def test_ensemble(bridge, target, number):
        member = {"model": target.model, "api_key": target.api_key, "api_base": target.api_base}
        bridge.configure_lm({"kind": "ensemble", "strategy": "majority", "members": [member] * 2})
        assert bridge.create_program("question -> answer")(question="?").answer == "live"
"""


@pytest.mark.parametrize("asked", ["own", "bridge"])
def test_the_run_ends_when_its_budget_is_spent(pytester: pytest.Pytester, asked: str) -> None:
    """Real calls count, whether a test's own LM is asked or a bridge's."""
    pytester.makepyfile(test_it=LIVE)

    stopped = pytester.runpytest_inprocess("--lm-live", "--lm-budget=0.000001", "-k", asked)
    enough = pytester.runpytest_inprocess("--lm-live", "--lm-budget=1", "-k", asked)

    stopped.stdout.fnmatch_lines(["*--lm-budget: 0.0* of 0.000001 US dollars are spent*"])
    assert stopped.parseoutcomes()["passed"] == 1
    enough.assert_outcomes(passed=3)
    enough.stdout.fnmatch_lines(["$0.0* spent, $0 avoided"])


def test_mocks_go_on_where_nothing_may_be_spent(pytester: pytest.Pytester) -> None:
    """A budget of nothing is reached by the first real call, not by the first call."""
    pytester.makepyfile(
        """
        import dspy
        import pytest

        @pytest.mark.parametrize("number", range(2))
        def test_it(dspy_lm, number):
            dspy.Predict("question -> answer")(question="?")
        """
    )

    pytester.runpytest_inprocess("--lm-budget=0").assert_outcomes(passed=2)


def test_a_budget_counts_the_members_of_an_ensemble_once(pytester: pytest.Pytester) -> None:
    """Its own call tells their sum, which is not paid beside them."""
    pytester.makepyfile(test_it=LIVE)

    run = pytester.runpytest_inprocess("--lm-live", "--lm-budget=0.000001", "-k", "ensemble")

    said = run.stdout.str()
    counted = re.search(r"--lm-budget: ([0-9.]+) of", said)
    spent = re.search(r"^\$([0-9.]+) spent", said, re.MULTILINE)
    assert counted is not None
    assert spent is not None
    assert counted[1] == spent[1]


def test_a_budget_counts_over_all_processes(pytester: pytest.Pytester) -> None:
    """Under pytest-xdist it is the run that ends, not one of its processes."""
    pytester.makepyfile(test_it=LIVE)

    run = pytester.runpytest_subprocess("-n2", "--lm-live", "--lm-budget=0.000001", "-k", "bridge")

    run.stdout.fnmatch_lines(["*--lm-budget: 0.0* of 0.000001 US dollars are spent*"])


INNOCENT = """
    import pytest

    @pytest.fixture(scope="module")
    def shared():
        yield

    @pytest.mark.lm_seeds(5)
    {mark}
    def test_repeated(lm_seed, shared):
        {body}

    class TestOther:
        def test_innocent(self):
            pass
"""


@pytest.mark.parametrize(
    ("mark", "body", "outcomes"),
    [
        ("@pytest.mark.skip", "pass", {"skipped": 1}),
        ("", "pytest.skip('not today')", {"skipped": 1}),
        ("@pytest.mark.xfail", "assert False", {"xfailed": 1}),
        ("@pytest.mark.xfail(strict=True)", "assert False", {"xfailed": 1}),
        ("@pytest.mark.xfail", "pass", {"xpassed": 1}),
        ("@pytest.mark.xfail(strict=True)", "pass", {"failed": 1}),
        ("@pytest.mark.xfail", "assert lm_seed", {"xfailed": 1}),
        ("@pytest.mark.xfail(raises=KeyError)", "assert False", {"failed": 1}),
    ],
)
def test_skips_and_expected_failures_are_told_once_and_hurt_nobody(
    pytester: pytest.Pytester, mark: str, body: str, outcomes: dict[str, int]
) -> None:
    """The next test, in another class or module, finds what it needs; a test passes only if enough of its seeds do."""
    pytester.makepyfile(test_a=INNOCENT.format(mark=mark, body=body), test_b="def test_innocent(): pass")
    pytester.runpytest_inprocess("-q").assert_outcomes(**{"passed": 2, **outcomes})
