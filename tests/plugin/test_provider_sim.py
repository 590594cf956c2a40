"""The fixture `provider_sim`: providers on this machine, apart for each test."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("collected")

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings =
    ignore::ResourceWarning
    ignore::pytest.PytestUnraisableExceptionWarning
"""


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI)


def test_lms_of_any_provider_reach_it_on_both_stacks(pytester: pytest.Pytester) -> None:
    """A target has what a client needs, and its own answers; the network guard lets it be reached."""
    pytester.makepyfile(
        """
        import dspy
        import pytest

        qa = dspy.Predict("question -> answer")

        @pytest.mark.parametrize("engine", ["lm15", "litellm"])
        @pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"])
        def test_it(provider_sim, lm_journal, model, engine):
            target = provider_sim.target(model, spec={"responses": {"2+2": "4"}})
            assert qa(question="2+2", lm=target.lm(engine=engine)).answer == "4"
            assert [call.model for call in provider_sim.calls] == [model.partition("/")[2]]
            lm_journal.assert_call_count(1)
        """
    )

    # What litellm imports does not survive that pytester forgets it.
    pytester.runpytest_subprocess().assert_outcomes(passed=6)


def test_tests_share_a_server_and_nothing_else(pytester: pytest.Pytester) -> None:
    """One server per process of the run; scripts, faults and calls are the test's own, whatever the others do."""
    pytester.makepyfile(
        """
        import dspy
        import pytest

        @pytest.mark.parametrize("number", range(8))
        def test_it(provider_sim, number, tmp_path):
            assert provider_sim.calls == []
            lm = provider_sim.target("openai/gpt-4o-mini", spec={"script": [f"first {number}", "second"]}).lm()
            other = provider_sim.target("openai/gpt-4o-mini", spec={"default": "other"}).lm()
            assert [lm("?")[0], other("?")[0], lm("?")[0]] == [f"first {number}", "other", "second"]
            assert len(provider_sim.calls) == 3
            (tmp_path.parent / f"{provider_sim.simulator.port}.port").touch()
        """
    )

    base = pytester.path / "base"
    pytester.runpytest_subprocess("-n2", f"--basetemp={base}").assert_outcomes(passed=8)

    assert len(list(Path(base).rglob("*.port"))) == 2


def test_a_provider_fails_as_it_is_told(pytester: pytest.Pytester) -> None:
    """Faults are of HTTP, so DSPy's own client meets them as it would a provider's."""
    pytester.makepyfile(
        """
        import dspy
        import pytest

        def test_it(provider_sim):
            target = provider_sim.target("openai/gpt-4o-mini", faults=[{"kind": "rate_limit", "calls": [1]}])
            lm = target.lm()
            with pytest.raises(dspy.LMRateLimitError):
                lm("?")
            assert lm("?")
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_test_can_be_recorded_from_it(pytester: pytest.Pytester) -> None:
    """A recording without a key, from the first run on."""
    pytester.makepyfile(
        """
        import dspy
        import pytest

        @pytest.mark.lm_cassette(record_mode="once")
        def test_it(provider_sim, lm_cassette):
            lm = provider_sim.target("openai/gpt-4o-mini", spec={"default": "said"}).lm()
            assert dspy.Predict("question -> answer")(question="?", lm=lm).answer == "said"
            assert len(provider_sim.calls) == (lm_cassette.mode == "once")
        """
    )

    for _ in range(2):
        pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_recording_answers_over_http_and_the_server_forgets_it_afterwards(pytester: pytest.Pytester) -> None:
    """A cassette is asked through a client of a provider; a target ends with its test."""
    pytester.makepyfile(
        """
        from dspex_testkit import cassettes

        def test_replay(provider_sim, tmp_path):
            live = provider_sim.target("openai/gpt-4o-mini", spec={"script": ["said"]}).lm()
            with cassettes.record(live, tmp_path / "c.yaml") as lm:
                lm("?")
            assert provider_sim.target("openai/gpt-4o-mini", cassette=tmp_path / "c.yaml").lm()("?") == ["said"]

        def test_afterwards(provider_sim):
            assert [namespace.id for namespace in provider_sim.simulator._registry] == ["default"]
            assert provider_sim.simulator.calls == []
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_a_miss_that_a_program_swallowed_fails_the_test(pytester: pytest.Pytester) -> None:
    """It is shown again at teardown; where the test has failed already, beside that, and where it was let go, never."""
    pytester.makepyfile(
        """
        from contextlib import suppress

        import pytest
        from dspex_testkit import cassettes

        @pytest.fixture
        def replayed(provider_sim, tmp_path):
            live = provider_sim.target("openai/gpt-4o-mini", spec={"script": ["said"]}).lm()
            with cassettes.record(live, tmp_path / "c.yaml") as lm:
                lm("what was recorded")
            return provider_sim.target("openai/gpt-4o-mini", cassette=tmp_path / "c.yaml")

        def test_swallowed(replayed):
            with suppress(Exception):
                replayed.lm()("something else")

        def test_failed(replayed):
            with suppress(Exception):
                replayed.lm()("something else")
            raise AssertionError("of its own")

        def test_let_go(replayed):
            with pytest.raises(Exception, match="Nearest is interaction 0"):
                replayed.lm()("something else")
            replayed.remove()
        """
    )

    result = pytester.runpytest_inprocess()

    result.assert_outcomes(passed=2, failed=1, errors=1)
    # The summary at the end, which in CI repeats whole messages, does not count.
    told = result.stdout.str().partition("short test summary info")[0]
    assert told.count("Nearest is interaction 0, which differs in") == 2
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_swallowed*", "c.yaml has no recording that answers *"])
    result.stdout.fnmatch_lines(["*of its own*", "*provider_sim teardown*", "c.yaml has no recording that answers *"])


def test_the_simulator_does_not_start_where_nobody_asks_for_it(pytester: pytest.Pytester) -> None:
    """Its server is not even imported."""
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert "aiohttp" not in sys.modules
            assert "dspex_testkit.simulator" not in sys.modules
        """
    )

    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=1)
