"""Recordings in a test run: who is recorded, when it is kept, and what is said of it afterwards."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspex_testkit.cli import main
from dspex_testkit.simulator import ProviderSimulator, Target

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("collected")

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings =
    default::dspex_testkit.cassettes.age.StaleCassetteWarning
    ignore::ResourceWarning
    ignore::pytest.PytestUnraisableExceptionWarning
"""

# The suites' LMs are built by the program under test, as anybody would build them.
CONFTEST = """
    import os

    import dspy
    import pytest

    qa = dspy.Predict("question -> answer")

    def build(model="openai/gpt-4o-mini", **params):
        connection = {"api_base": os.environ.get("SIM_BASE"), "api_key": "sk-simulated-planted"}
        return dspy.LM(model, num_retries=0, **connection, **params)

    @pytest.fixture
    def ask():
        def ask(question, **params):
            return qa(question=question, lm=build(**params)).answer
        return ask

    @pytest.fixture
    def provider():
        connection = {"api_base": os.environ.get("SIM_BASE"), "api_key": "sk-1234567890"}
        return {"provider": "openai", "model": "gpt-4o-mini", **connection}
"""

ADDS = {"responses": {"2+2": "4", "2+3": "5", "3+3": "6"}}


@pytest.fixture(autouse=True)
def _suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytester.makeini(INI)
    pytester.makeconftest(CONFTEST)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def simulator() -> Iterator[ProviderSimulator]:
    """The provider; gone when it has stopped."""
    with ProviderSimulator() as running:
        yield running


@pytest.fixture
def target(simulator: ProviderSimulator, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A model that can add, which the suites' LMs ask."""
    target = simulator.target("openai/gpt-4o-mini", spec=ADDS)
    monkeypatch.setenv("SIM_BASE", target.api_base)
    return target


def files(pytester: pytest.Pytester) -> list[str]:
    """The cassettes of the suite."""
    folder = pytester.path / "cassettes"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.yaml"))


def test_a_marked_test_is_recorded_once_and_replayed_for_ever(
    pytester: pytest.Pytester, simulator: ProviderSimulator, target: Target
) -> None:
    """LMs that the program builds itself are recorded when that is asked for, and need no provider afterwards."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.lm_cassette
        def test_adds(ask, lm_cassette, lm_journal):
            assert ask("2+2") == "4"
            assert ask("2+3", temperature=0.5) == "5"
            assert lm_cassette.path.name == "test_adds.yaml"
            lm_journal.assert_call_count(2)
        """
    )

    recorded = pytester.runpytest_inprocess("--lm-record-mode=once")
    simulator.stop()
    replayed = pytester.runpytest_inprocess()

    recorded.assert_outcomes(passed=1)
    recorded.stdout.fnmatch_lines(["1 cassette: 0 played, 2 recorded"])
    replayed.assert_outcomes(passed=1)
    replayed.stdout.fnmatch_lines(["1 cassette: 2 played, 0 recorded"])
    assert files(pytester) == ["test_it/test_adds.yaml"]
    assert "sk-simulated" not in (pytester.path / "cassettes/test_it/test_adds.yaml").read_text(encoding="utf-8")


def test_a_missing_recording_fails_before_the_test_and_says_how_to_make_it(pytester: pytest.Pytester) -> None:
    """Nothing is asked by accident: the default is to replay."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.lm_cassette
        def test_it(ask):
            ask("2+2")
        """
    )

    run = pytester.runpytest_inprocess()

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*There is no cassette *test_it.yaml; record it first*--lm-record-mode=once*"])


def test_only_what_a_passed_test_recorded_is_kept(pytester: pytest.Pytester, target: Target) -> None:
    """Failed, skipped and unfinished tests leave nothing, and spoil nothing that is there."""
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.lm_cassette

        def test_fails(ask):
            assert ask("2+2") == "5"

        def test_skips(ask):
            ask("2+2")
            pytest.skip("not today")

        @pytest.fixture
        def broken():
            yield
            raise RuntimeError("broken")

        def test_breaks_afterwards(ask, broken):
            assert ask("2+2") == "4"

        def test_passes(ask):
            assert ask("2+2") == "4"
        """
    )

    run = pytester.runpytest_inprocess("--lm-record-mode=rewrite")

    run.assert_outcomes(passed=2, failed=1, skipped=1, errors=1)
    assert [Path(name).name for name in files(pytester)] == ["test_passes.yaml"]


def test_the_command_line_wins_over_the_marker_and_the_marker_over_the_ini_file(
    pytester: pytest.Pytester, target: Target
) -> None:
    """So one test is recorded again by naming it and saying so, whatever its marker says."""
    pytester.makeini(INI + "lm_record_mode = new_episodes\n")
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.lm_cassette(record_mode="once")
        def test_once(ask, lm_cassette):
            assert ask("2+2") in ("4", "four")
            print("MODE", lm_cassette.mode)

        @pytest.mark.lm_cassette("named/capitals")
        def test_ini(ask, lm_cassette):
            ask("2+3")
            print("MODE", lm_cassette.mode)
        """
    )

    pytester.runpytest_inprocess("-s").stdout.fnmatch_lines(["*MODE once*", "*MODE new_episodes*"])
    assert files(pytester) == ["named/capitals.yaml", "test_it/test_once.yaml"]
    named = (pytester.path / "cassettes/named/capitals.yaml").read_bytes()
    target.configure(spec={"responses": {"2+2": "four"}})
    pytester.runpytest_inprocess("test_it.py::test_once", "--lm-record-mode=rewrite", "-s").stdout.fnmatch_lines(
        ["*MODE rewrite*"]
    )

    assert "four" in (pytester.path / "cassettes/test_it/test_once.yaml").read_text(encoding="utf-8")
    assert (pytester.path / "cassettes/named/capitals.yaml").read_bytes() == named
    pytester.runpytest_inprocess("--lm-record-mode=none").assert_outcomes(passed=2)


def test_names_are_stable_and_apart(pytester: pytest.Pytester, target: Target) -> None:
    """Parameters, classes and characters that no file name takes each have a recording; the bridge's mode does not."""
    pytester.makepyfile(
        test_it="""
        import pytest

        pytestmark = pytest.mark.lm_cassette

        @pytest.mark.parametrize("way", ["a/b", "a-b"])
        def test_ways(ask, way):
            ask("2+2")

        class TestOne:
            def test_ways(self, ask):
                ask("2+2")

        @pytest.mark.parametrize("number", [1, 2])
        def test_bridge(bridge, provider, number):
            assert bridge.create_program("question -> answer", lm=provider)(question="2+2").answer == "4"
        """
    )

    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=5)
    names = files(pytester)
    pytester.runpytest_inprocess("-n2", "--bridge-mode=all").assert_outcomes(passed=9)

    assert len(names) == 5
    assert {"test_it/TestOne.test_ways.yaml", "test_it/test_bridge[1].yaml", "test_it/test_ways[a-b].yaml"} < {*names}
    assert files(pytester) == names


@pytest.mark.parametrize("mode", ["inproc", "standalone", "pool"])
def test_bridges_are_recorded_and_replayed_wherever_they_run(
    pytester: pytest.Pytester, simulator: ProviderSimulator, target: Target, mode: str
) -> None:
    """Each session has a file beside the test's own, and what it recorded in one mode it replays in all."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.lm_cassette(ignore=["config.seed"])
        def test_it(bridge, provider, lm_journal):
            assert bridge.create_program("question -> answer", lm=provider)(question="2+2").answer == "4"
            alice = bridge.session("alice")
            alice.configure_lm(provider)
            assert alice.create_program("question -> answer", id="qa")(question="2+3").answer == "5"
            alice.cleanup()
            alice.configure_lm(provider)
            assert alice.create_program("question -> answer", id="qa")(question="3+3").answer == "6"
            lm_journal.assert_call_count(3)
        """
    )

    recorded = pytester.runpytest_inprocess("--lm-record-mode=rewrite", f"--bridge-mode={mode}")
    simulator.stop()
    replayed = pytester.runpytest_inprocess("--bridge-mode=all")

    recorded.assert_outcomes(passed=1)
    assert files(pytester) == ["test_it/test_it.alice.yaml", "test_it/test_it.yaml"]
    replayed.assert_outcomes(passed=3)
    replayed.stdout.fnmatch_lines(["2 cassettes: 9 played, 0 recorded"])


def test_every_worker_of_a_pool_records_on_one_cassette(
    pytester: pytest.Pytester, simulator: ProviderSimulator, target: Target
) -> None:
    """In the order in which they asked; replayed, which worker asks makes no difference either."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.bridge(mode="pool", workers=2)
        @pytest.mark.lm_cassette(ignore=["config.seed"])
        def test_it(bridge, provider, lm_journal):
            qa = bridge.create_program("question -> answer", lm=provider)
            assert [qa(question=f"2+{n}").answer for n in (2, 3, 2)] == ["4", "5", "4"]
            assert len({call.worker_id for call in lm_journal.calls}) == 2
        """
    )

    pytester.runpytest_inprocess("--lm-record-mode=rewrite").assert_outcomes(passed=1)
    simulator.stop()
    replayed = pytester.runpytest_inprocess()

    assert files(pytester) == ["test_it/test_it.yaml"]
    replayed.assert_outcomes(passed=1)
    replayed.stdout.fnmatch_lines(["1 cassette: 3 played, 0 recorded"])


def test_a_pool_whose_workers_share_nothing_records_with_one_of_them(
    pytester: pytest.Pytester, simulator: ProviderSimulator, target: Target
) -> None:
    """Two would record each what it was asked; replayed, each has the whole recording."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.bridge(mode="pool", workers=2, host="off")
        @pytest.mark.lm_cassette(ignore=["config.seed"])
        def test_it(bridge, provider):
            bridge.configure_lm(provider)
            for n in (2, 3):
                qa = bridge.create_program("question -> answer")
                assert qa(question=f"2+{n}").answer == str(2 + n)
        """
    )

    recorded = pytester.runpytest_inprocess("--lm-record-mode=rewrite")

    recorded.assert_outcomes(passed=1)
    recorded.stdout.fnmatch_lines(["1 cassette: 0 played, 2 recorded"])
    assert files(pytester) == ["test_it/test_it.yaml"]


def test_a_failed_test_takes_back_what_its_bridge_recorded(pytester: pytest.Pytester, target: Target) -> None:
    """Also where a session had been cleaned up, and its recording was written before the verdict."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.lm_cassette
        def test_it(bridge, provider):
            alice = bridge.session("alice")
            alice.configure_lm(provider)
            alice.create_program("question -> answer")(question="2+3")
            alice.cleanup()
            assert 0
        """
    )

    run = pytester.runpytest_inprocess("--lm-record-mode=once")

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["*0 played, 0 recorded*", "not kept: *: 1 calls: the test failed"])
    assert files(pytester) == []


def test_a_miss_is_shown_again_at_teardown(pytester: pytest.Pytester, target: Target) -> None:
    """Where a program swallows it the test fails all the same; where the test failed it stands in the report."""
    suite = """
        import pytest

        @pytest.mark.lm_cassette
        def test_swallowed(ask):
            ask("2+2")
            try:
                ask({second!r})
            except Exception:
                pass

        @pytest.mark.lm_cassette
        def test_failed(ask):
            ask("2+2")
            try:
                ask({second!r})
            except Exception:
                raise ValueError("no idea") from None

        @pytest.mark.lm_cassette
        def test_bridge(bridge, provider):
            qa = bridge.create_program("question -> answer", lm=provider)
            qa(question="2+2")
            try:
                qa(question={second!r})
            except Exception:
                pass
    """
    pytester.makepyfile(test_it=suite.format(second="2+3"))
    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=3)
    pytester.makepyfile(test_it=suite.format(second="3+3"))

    run = pytester.runpytest_inprocess()

    run.assert_outcomes(passed=2, failed=1, errors=2)
    text = run.stdout.str()
    for name in ("test_swallowed", "test_failed", "test_bridge"):
        assert f"{name}.yaml has no recording that answers openai/gpt-4o-mini" in text
        assert f"pytest test_it.py::{name} --lm-record-mode=rewrite" in text
    run.stdout.fnmatch_lines(["*Nearest is interaction 1*", "*2+3*3+3*"])


def test_a_miss_is_mended_by_a_command_that_works_here(
    pytester: pytest.Pytester, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test is named from where pytest was started, and as a shell reads it."""
    suite = """
        import pytest

        @pytest.mark.lm_cassette
        @pytest.mark.parametrize("word", ["it's"])
        def test_it(ask, word):
            ask({question!r})
    """
    (pytester.path / "inner").mkdir()
    monkeypatch.chdir(pytester.path / "inner")
    pytester.makepyfile(**{"inner/test_it": suite.format(question="2+2")})
    pytester.runpytest_inprocess("--rootdir=..", "--lm-record-mode=once").assert_outcomes(passed=1)
    pytester.makepyfile(**{"inner/test_it": suite.format(question="3+3")})

    run = pytester.runpytest_inprocess("--rootdir=..")

    command = shlex.join(["pytest", "test_it.py::test_it[it's]", "--lm-record-mode=rewrite"])
    assert command in run.stdout.str()


def test_recording_nothing_where_recording_was_asked_fails(pytester: pytest.Pytester, target: Target) -> None:
    """A test that asks for a recording and calls no LM; and a run that records nothing at all."""
    pytester.makepyfile(
        test_one="""
        import pytest

        @pytest.mark.lm_cassette
        def test_it():
            pass
        """,
        test_two="""
        def test_it():
            pass
        """,
    )

    one = pytester.runpytest_inprocess("test_one.py", "--lm-record-mode=once")
    two = pytester.runpytest_inprocess("test_two.py", "--lm-record-mode=once")

    one.assert_outcomes(passed=1, errors=1)
    one.stdout.fnmatch_lines(["*test_it.yaml was to be recorded, and *"])
    two.assert_outcomes(passed=1)
    two.stdout.fnmatch_lines(["--lm-record-mode=once: nothing was recorded*"])
    assert two.ret == pytest.ExitCode.TESTS_FAILED


def test_a_test_that_is_expected_to_fail_keeps_its_recording(pytester: pytest.Pytester, target: Target) -> None:
    """An `xfail` that fails as it says went as expected, and replays; one that fails otherwise leaves nothing."""
    pytester.makepyfile(
        test_it="""
        import pytest

        pytestmark = pytest.mark.lm_cassette

        @pytest.mark.xfail
        def test_marked(ask):
            assert ask("2+2") == "5"

        def test_said(ask):
            ask("2+2")
            pytest.xfail("not yet")

        @pytest.mark.xfail(raises=ValueError)
        def test_otherwise(ask):
            assert ask("2+2") == "5"

        @pytest.mark.xfail(strict=True)
        def test_passes_by_mistake(ask):
            assert ask("2+2") == "4"

        @pytest.fixture
        def broken():
            yield
            raise RuntimeError("broken")

        @pytest.mark.xfail
        def test_breaks_afterwards(ask, broken):
            assert ask("2+2") == "5"
        """
    )

    recorded = pytester.runpytest_inprocess("--lm-record-mode=once")
    replayed = pytester.runpytest_inprocess("-k", "marked or said")

    recorded.assert_outcomes(xfailed=4, failed=2)
    assert [Path(name).name for name in files(pytester)] == ["test_marked.yaml", "test_said.yaml"]
    replayed.assert_outcomes(xfailed=2, deselected=3)
    replayed.stdout.fnmatch_lines(["2 cassettes: 2 played, 0 recorded"])


def test_xfail_does_not_hide_that_a_recording_is_missing(pytester: pytest.Pytester, target: Target) -> None:
    """Neither the file nor a request that is not in it; a miss is not the failure that the mark means."""
    suite = """
        import pytest

        @pytest.mark.lm_cassette
        @pytest.mark.xfail
        def test_it(ask):
            assert ask({question!r}) == "5"
    """
    pytester.makepyfile(test_it=suite.format(question="2+2"))
    missing = pytester.runpytest_inprocess()
    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(xfailed=1)
    pytester.makepyfile(test_it=suite.format(question="2+3"))
    missed = pytester.runpytest_inprocess()

    missing.assert_outcomes(errors=1)
    missing.stdout.fnmatch_lines(["*There is no cassette *test_it.yaml*"])
    missed.assert_outcomes(failed=1)
    missed.stdout.fnmatch_lines(["*test_it.yaml has no recording that answers openai/gpt-4o-mini*"])


@pytest.mark.parametrize("processes", [(), ("-n2",)])
def test_recordings_of_nobody_are_named(pytester: pytest.Pytester, target: Target, processes: tuple[str, ...]) -> None:
    """Files beside those of tests that ran, which no test names; told where all tests of a module were collected."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.lm_cassette
        def test_one(ask):
            ask("2+2")

        @pytest.mark.lm_cassette
        def test_two(ask):
            ask("2+2")

        @pytest.mark.lm_cassette("test_it/shared")
        def test_three(ask):
            ask("2+3")

        @pytest.mark.lm_cassette
        def test_bridge(bridge, provider):
            session = bridge.session("s1")
            session.create_program("question -> answer", lm=provider)(question="2+2")
        """
    )
    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=4)
    folder = pytester.path / "cassettes" / "test_it"
    (folder / "test_gone.yaml").write_bytes((folder / "test_one.yaml").read_bytes())
    report = pytester.path / "report.json"

    named = pytester.runpytest_inprocess("-k", "one or bridge", *processes)
    failed = pytester.runpytest_inprocess("--lm-unplayed=fail", f"--lm-cassette-report={report}", *processes)
    partly = pytester.runpytest_inprocess("test_it.py::test_one", *processes)

    named.stdout.fnmatch_lines(["nobody's: cassettes/test_it/test_gone.yaml: no test is called so"])
    assert named.stdout.str().count("nobody's") == 1
    assert named.ret == 0
    assert failed.ret == pytest.ExitCode.TESTS_FAILED
    failed.stdout.fnmatch_lines(["recorded twice: cassettes/test_it/test_bridge.s1.yaml: 0, *test_one.yaml: 0, *"])
    partly.stdout.no_fnmatch_line("nobody's*")
    main(["cassettes", "prune", str(folder.parent), "--report", str(report), "--yes"])
    assert not (folder / "test_gone.yaml").exists()
    assert pytester.runpytest_inprocess("--lm-unplayed=fail", *processes).ret == 0


@pytest.mark.parametrize("mode", ["inproc", "standalone"])
def test_recordings_are_compared_with_the_provider(pytester: pytest.Pytester, target: Target, mode: str) -> None:
    """`verify` asks again, changes nothing, and fails where the answers have drifted."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.lm_cassette
        def test_it(ask):
            ask("2+2")

        @pytest.mark.lm_cassette
        def test_bridge(bridge, provider):
            bridge.create_program("question -> answer", lm=provider)(question="2+2")
        """
    )
    options = ("--lm-record-mode=verify", f"--bridge-mode={mode}")
    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=2)

    same = pytester.runpytest_inprocess(*options)
    target.configure(spec={"responses": {"2+2": "four"}})
    drifted = pytester.runpytest_inprocess(*options)

    same.assert_outcomes(passed=2)
    same.stdout.fnmatch_lines(["2 cassettes: 0 played, 0 recorded, 2 verified"])
    drifted.assert_outcomes(passed=2, errors=2)
    drifted.stdout.fnmatch_lines(["*test_it.yaml no longer says what the provider says*", "drift: *wording differs*"])
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_http_traffic_is_compared_with_the_provider(pytester: pytest.Pytester, target: Target) -> None:
    """`verify` means the same at the HTTP level."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.lm_cassette(level="http")
        def test_it(ask):
            ask("2+2")
        """
    )
    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=1)

    same = pytester.runpytest_inprocess("--lm-record-mode=verify")
    target.configure(spec={"responses": {"2+2": "four"}})
    drifted = pytester.runpytest_inprocess("--lm-record-mode=verify")

    same.assert_outcomes(passed=1)
    same.stdout.fnmatch_lines(["1 cassette: 0 played, 0 recorded, 1 verified"])
    drifted.assert_outcomes(passed=1, errors=1)
    drifted.stdout.fnmatch_lines(["*test_it.yaml no longer says what the provider says*", "drift: *wording differs*"])
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_old_recordings_warn_or_fail(pytester: pytest.Pytester, target: Target) -> None:
    """As `--lm-stale` says, and the run's summary names them."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.lm_cassette
        def test_it(ask):
            assert ask("2+2") == "4"

        @pytest.mark.lm_cassette
        def test_bridge(bridge, provider):
            assert bridge.create_program("question -> answer", lm=provider)(question="2+2").answer == "4"
        """
    )
    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=2)
    for name in ("test_it", "test_bridge"):
        path = pytester.path / f"cassettes/test_it/{name}.yaml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(text.partition("recorded_at: '")[2][:4], "2019"), encoding="utf-8")

    warned = pytester.runpytest_inprocess("--lm-max-age=90d", "--bridge-mode=standalone")
    failed = pytester.runpytest_inprocess("--lm-max-age=90d", "--lm-stale=fail")

    warned.assert_outcomes(passed=2, warnings=1)
    warned.stdout.fnmatch_lines(["old: *test_it.yaml was recorded * days ago *", "old: *test_bridge.yaml was*"])
    failed.assert_outcomes(errors=1, failed=1)
    failed.stdout.fnmatch_lines(["*was recorded * days ago (on 2019-*), and 90 are allowed*"])


def test_what_is_not_played_is_reported_or_fails_and_can_be_pruned(pytester: pytest.Pytester, target: Target) -> None:
    """Two tests may share a file: what neither plays is left over. A failed test says nothing of its recording."""
    suite = """
        import pytest

        pytestmark = pytest.mark.lm_cassette("shared")

        def test_one(ask):
            for question in {first}:
                ask(question)

        def test_two(ask):
            ask("2+3")
    """
    pytester.makepyfile(test_it=suite.format(first=["2+2", "2+3", "3+3"]))
    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=2)
    pytester.makepyfile(test_it=suite.format(first=["2+2"]))

    said = pytester.runpytest_inprocess("--lm-cassette-report=played.json")
    failed = pytester.runpytest_inprocess("--lm-unplayed=fail", "-n2")

    said.stdout.fnmatch_lines(["not played: cassettes/shared.yaml: 2"])
    assert (said.ret, failed.ret) == (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    failed.stdout.fnmatch_lines(["--lm-unplayed=fail: *"])
    reports = json.loads((pytester.path / "played.json").read_text(encoding="utf-8"))
    assert [report["test"] for report in reports] == ["test_it.py::test_one", "test_it.py::test_two"]
    assert main(["cassettes", "prune", "cassettes", "--report", "played.json", "--yes"]) == 0
    assert pytester.runpytest_inprocess("--lm-unplayed=fail").ret == pytest.ExitCode.OK


def test_any_lm_can_be_recorded_through_the_fixture(pytester: pytest.Pytester) -> None:
    """LMs that are no provider's are given to the cassette."""
    pytester.makepyfile(
        test_it="""
        import dspy
        from dspex_testkit.mock_lm import MockLM

        def test_it(request, lm_cassette):
            mock = None if lm_cassette.mode == "none" else MockLM.deterministic({"default": "said"})
            with dspy.context(lm=lm_cassette.lm_for(mock)):
                assert dspy.Predict("question -> answer")(question="?").answer == "said"
            print(lm_cassette.report().to_dict())
        """
    )

    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=1)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_policies_give_every_test_a_recording(pytester: pytest.Pytester, target: Target) -> None:
    """Without a marker: tests that ask nobody need none, and a record mode on the command line wins over `replay`."""
    pytester.makepyfile(
        test_it="""
        def test_it(ask):
            assert ask("2+2") == "4"

        def test_bridge(bridge, provider, lm_journal):
            qa = bridge.create_program("question -> answer", lm=provider)
            assert qa(question="2+2").answer == "4"
            bridge.reset()
            bridge.configure_lm("mock", responses={"default": "mocked"})
            assert bridge.create_program("question -> answer")(question="2+2").answer == "mocked"

        def test_mock(bridge):
            assert bridge.create_program("question -> answer", lm="mock")(question="?").answer

        def test_nothing():
            pass
        """
    )

    pytester.runpytest_inprocess("--lm-policy=record").assert_outcomes(passed=4)
    pytester.runpytest_inprocess("--lm-policy=replay", "--bridge-mode=pool").assert_outcomes(passed=4)
    pytester.runpytest_inprocess("--lm-policy=replay", "--lm-record-mode=all").assert_outcomes(passed=4)

    assert files(pytester) == ["test_it/test_bridge.yaml", "test_it/test_it.yaml"]
    (pytester.path / "cassettes/test_it/test_it.yaml").unlink()
    pytester.runpytest_inprocess("--lm-policy=replay").assert_outcomes(passed=3, failed=1)


def test_fixtures_that_give_lms_are_recorded_too(pytester: pytest.Pytester, target: Target) -> None:
    """`dspy_lm` is the provider's LM in a test with a cassette; replayed it needs no key."""
    pytester.makeconftest(
        CONFTEST
        + """
    @pytest.fixture
    def lm_config(provider):
        if os.environ.get("SIM_BASE"):
            return provider
        return {"provider": "openai", "model": "gpt-4o-mini"}
    """
    )
    pytester.makepyfile(
        test_it="""
        import dspy
        import pytest

        @pytest.mark.lm_cassette
        def test_it(dspy_lm):
            assert dspy.Predict("question -> answer")(question="2+2").answer == "4"

        @pytest.mark.lm_cassette(ignore=["config.seed"], on_exhausted="cycle")
        def test_bridge(bridge):
            qa = bridge.create_program("question -> answer")
            assert qa(question="2+2").answer == "4"
        """
    )

    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SIM_BASE")
        pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_threads_event_loops_and_seeds_share_a_recording(pytester: pytest.Pytester, target: Target) -> None:
    """However a test asks, and however often it runs, it is recorded once."""
    pytester.makepyfile(
        test_it="""
        import dspy
        import pytest
        from conftest import build, qa

        pytestmark = pytest.mark.lm_cassette

        def test_threads(lm_cassette):
            questions = ["2+2", "2+3", "3+3"] * 3
            with dspy.context(lm=build()):
                answers = dspy.Parallel(num_threads=3)([(qa, {"question": question}) for question in questions])
            assert [each.answer for each in answers] == ["4", "5", "6"] * 3

        @pytest.mark.asyncio
        async def test_bridge_in_a_loop(bridge, provider):
            program = bridge.create_program("question -> answer", lm=provider)
            assert (await program.acall(question="2+2")).answer == "4"

        @pytest.mark.lm_seeds(3)
        def test_seeds(ask):
            assert ask("2+2") == "4"
        """
    )

    recorded = pytester.runpytest_inprocess("--lm-record-mode=once")
    replayed = pytester.runpytest_inprocess("--bridge-mode=all", "--lm-unplayed=fail")

    recorded.assert_outcomes(passed=3)
    assert files(pytester) == [f"test_it/test_{name}.yaml" for name in ("bridge_in_a_loop", "seeds", "threads")]
    replayed.assert_outcomes(passed=5)


def test_http_traffic_is_kept_and_missed_by_the_same_rules(pytester: pytest.Pytester, target: Target) -> None:
    """A failed test keeps nothing; a miss is shown at teardown; what is not played is told; other bridges refuse."""
    suite = """
        import pytest

        pytestmark = pytest.mark.lm_cassette(level="http")

        def test_fails(ask):
            assert ask("2+2") == "5"

        def test_swallows(ask):
            ask("2+2")
            try:
                ask({second!r})
            except Exception:
                pass

        def test_asks_less(ask):
            for question in {questions}:
                ask(question)

        def test_asks_nobody():
            pass
    """
    pytester.makepyfile(test_it=suite.format(second="2+3", questions=["2+2", "2+3"]))
    first = pytester.runpytest_inprocess("--lm-record-mode=once")
    pytester.makepyfile(test_it=suite.format(second="3+3", questions=["2+2"]))
    second = pytester.runpytest_inprocess("-k", "not fails")
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.lm_cassette(level="http", record_mode="once")
        @pytest.mark.bridge(mode="standalone")
        def test_bridge(bridge, provider):
            bridge.create_program("question -> answer", lm=provider)(question="2+2")
        """
    )
    elsewhere = pytester.runpytest_inprocess()

    first.assert_outcomes(passed=3, failed=1)
    assert files(pytester) == ["test_it/test_asks_less.yaml", "test_it/test_swallows.yaml"]
    second.assert_outcomes(passed=3, errors=1, deselected=1)
    second.stdout.fnmatch_lines(["*test_swallows.yaml has no recording that answers POST *"])
    second.stdout.fnmatch_lines(["not played: cassettes/test_it/test_asks_less.yaml: 1"])
    elsewhere.assert_outcomes(failed=1)
    elsewhere.stdout.fnmatch_lines(["*level='http' records this process, and the bridge runs standalone*"])


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("record_mode='twice'", "*record_mode is one of none, once,*got 'twice'*"),
        ("match='x'", "*takes no 'match'; did you mean 'match_on'?*"),
        ("level='tcp'", "*level is 'lm' or 'http', got 'tcp'*"),
        ("'../out'", "*A cassette is named relative to *, without '..'*"),
        ("match_on=['body']", "*body*"),
    ],
)
def test_a_marker_written_wrongly_says_what_is_wanted(pytester: pytest.Pytester, marker: str, said: str) -> None:
    """Before anything is recorded or asked."""
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.lm_cassette({marker})
        def test_it(ask):
            ask("2+2")
        """
    )

    run = pytester.runpytest_inprocess("--lm-record-mode=once")

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines([said])
    assert files(pytester) == []


def test_named_files_of_a_marked_test_are_recorded_and_replayed(
    pytester: pytest.Pytester, simulator: ProviderSimulator, target: Target
) -> None:
    """Which DSPy sends to a provider over litellm, and no canonical request can carry."""
    target.configure(spec={"default": {"answer": "read"}})
    pytester.makepyfile(
        test_it="""
        import dspy
        import pytest
        from conftest import build

        @pytest.mark.filterwarnings("ignore")
        @pytest.mark.lm_cassette
        def test_reads():
            file = dspy.File(file_data="data:application/pdf;base64,JVBERg==", filename="a.pdf")
            fields = {"given": (dspy.File, dspy.InputField()), "answer": (str, dspy.OutputField())}
            assert dspy.Predict(dspy.Signature(fields))(given=file, lm=build()).answer == "read"
        """
    )
    # In processes of their own, for each imports litellm.
    pytester.runpytest_subprocess("--lm-record-mode=once").assert_outcomes(passed=1)
    simulator.stop()
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_suite_of_http_recordings_replays_as_lm_calls_once_it_is_converted(
    pytester: pytest.Pytester, simulator: ProviderSimulator, target: Target
) -> None:
    """`cassettes convert --in-place` writes where the plugin looks; no test changes but for its marker."""
    suite = """
        import pytest

        {marker}

        @pytest.mark.parametrize("question", ["2+2", "2+3"], ids=["two and two?", "long " * 40])
        def test_adds(ask, question):
            assert ask(question) in ("4", "5")

        class TestMore:
            def test_adds(self, ask):
                assert ask("3+3") == "6"
    """
    pytester.makepyfile(test_it=suite.format(marker="pytestmark = pytest.mark.lm_cassette(level='http')"))
    pytester.runpytest_inprocess("--lm-record-mode=once").assert_outcomes(passed=3)
    simulator.stop()
    before = files(pytester)

    assert main(["cassettes", "convert", str(pytester.path / "cassettes"), "--in-place"]) == 0

    assert files(pytester) == before
    pytester.makepyfile(test_it=suite.format(marker="pytestmark = pytest.mark.lm_cassette"))
    replayed = pytester.runpytest_inprocess("--lm-unplayed=fail")
    replayed.assert_outcomes(passed=3)
    replayed.stdout.fnmatch_lines(["3 cassettes: 3 played, 0 recorded"])


def test_a_suite_says_once_how_and_where_its_tests_are_recorded(pytester: pytest.Pytester, target: Target) -> None:
    """The fixtures `lm_cassette_config` and `lm_cassette_dir`, which a module defines anew; the nearest marker wins."""
    fixtures = """
    @pytest.fixture(scope="session")
    def lm_cassette_config():
        return {"ignore": ["config.temperature"], "on_exhausted": "cycle"}

    @pytest.fixture(scope="session")
    def lm_cassette_dir():
        return "recordings"
    """
    pytester.makeconftest(CONFTEST + fixtures)
    pytester.makepyfile(
        test_it="""
        import os
        import pytest

        WARMTH = float(os.environ.get("WARMTH", "0.5"))

        @pytest.mark.lm_cassette
        def test_ignores(ask):
            assert [ask("2+2", temperature=WARMTH) for _ in range(1 if WARMTH == 0.5 else 3)][-1] == "4"

        @pytest.mark.lm_cassette(ignore=[])
        def test_compares(ask):
            assert ask("2+2", temperature=WARMTH) == "4"

        def test_asks_by_the_fixture(ask, lm_cassette):
            assert ask("2+2", temperature=WARMTH) == "4"

        @pytest.mark.lm_cassette
        def test_bridge(bridge, provider):
            program = bridge.session("s1").create_program("question -> answer", lm={**provider, "temperature": WARMTH})
            assert program(question="2+2").answer == "4"
        """,
        test_other="""
        import pytest

        @pytest.fixture
        def lm_cassette_config(lm_cassette_config, tmp_path):
            return {**lm_cassette_config, "level": "http", "record_mode": "once", "ignore": ["temperature"]}

        @pytest.fixture
        def lm_cassette_dir(request):
            return request.path.parent / "elsewhere"

        @pytest.mark.lm_cassette
        def test_http(ask, lm_cassette):
            assert ask("2+2") == "4"
            assert lm_cassette.level == "http"
        """,
    )

    recorded = pytester.runpytest_inprocess("--lm-record-mode=once")
    folder = pytester.path / "recordings" / "test_it"
    (folder / "test_gone.yaml").write_bytes((folder / "test_ignores.yaml").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMTH", "0.75")
        replayed = pytester.runpytest_inprocess()

    recorded.assert_outcomes(passed=5)
    assert files(pytester) == []
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "test_asks_by_the_fixture.yaml",
        "test_bridge.s1.yaml",
        "test_compares.yaml",
        "test_gone.yaml",
        "test_ignores.yaml",
    ]
    assert (pytester.path / "elsewhere/test_other/test_http.yaml").exists()
    replayed.assert_outcomes(passed=4, failed=1)
    replayed.stdout.fnmatch_lines(["*test_compares*", "*params.temperature: asked 0.75, recorded 0.5"])
    replayed.stdout.fnmatch_lines(["nobody's: recordings/test_it/test_gone.yaml: no test is called so"])
    assert replayed.stdout.str().count("nobody's") == 1


@pytest.mark.parametrize(
    ("fixture", "said"),
    [
        ("lm_cassette_config(): return {'mach_on': ['model']}", "*fixture lm_cassette_config*'mach_on'*'match_on'*"),
        ("lm_cassette_config(): return {'canonical_host': 'x'}", "*level='lm' has no 'canonical_host'*"),
        ("lm_cassette_config(): return {'path': 'one'}", "*lm_cassette_config takes no 'path'*lm_cassette_dir*"),
        ("lm_cassette_config(): return ['ignore']", "*lm_cassette_config gives a dict*not [[]'ignore']*"),
        ("lm_cassette_config(): return {'record_mode': 'twice'}", "*lm_cassette_config: record_mode is one of*"),
        ("lm_cassette_dir(): return 7", "*lm_cassette_dir gives the path of a folder, not 7*"),
    ],
)
def test_a_suite_s_fixture_written_wrongly_says_what_is_wanted(
    pytester: pytest.Pytester, fixture: str, said: str
) -> None:
    """Nothing that it says is ignored."""
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.fixture
        def {fixture}

        @pytest.mark.lm_cassette
        def test_it(ask):
            ask("2+2")
        """
    )

    run = pytester.runpytest_inprocess("--lm-record-mode=once")

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines([said])
    assert files(pytester) == []


def test_options_that_cannot_be_used_are_refused(pytester: pytest.Pytester) -> None:
    """At the start of the run."""
    for option, said in (
        ("--lm-max-age=soon", "*lm-max-age: 'soon' is no age*"),
        ("--lm-record-mode=twice", "*invalid choice: 'twice'*"),
    ):
        run = pytester.runpytest_inprocess(option)
        assert run.ret == pytest.ExitCode.USAGE_ERROR
        run.stderr.fnmatch_lines([said])


SUITE = """
    import asyncio

    import dspy
    import pytest

    from conftest import build, qa

    def sync(lm, question):
        return qa(question=question, lm=lm).answer

    def asynchronous(lm, question):
        async def ask():
            with dspy.context(lm=lm):
                return (await qa.acall(question=question)).answer
        return asyncio.run(ask())

    def streamed(lm, question):
        program = dspy.streamify(qa, async_streaming=False)
        with dspy.context(lm=lm):
            return [value for value in program(question=question) if isinstance(value, dspy.Prediction)][0].answer

    ways = [sync, asynchronous, streamed]
    every = pytest.mark.parametrize("stack", ["lm15", "litellm"]), pytest.mark.parametrize("ask", ways)

    @every[0]
    @every[1]
    @pytest.mark.lm_cassette
    def test_lm(stack, ask):
        assert ask(build(engine=stack), "2+2") == "4"
        assert ask(build(engine=stack), "2+3") == "5"

    @every[0]
    @every[1]
    @pytest.mark.lm_cassette(level="http")
    def test_http(stack, ask):
        assert ask(build(engine=stack), "2+2") == "4"
        assert ask(build(engine=stack), "2+3") == "5"
"""


@pytest.mark.timeout(240)
def test_a_recorded_suite_replays_on_four_workers_without_a_network(
    pytester: pytest.Pytester, simulator: ProviderSimulator, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stacks, both levels, sync, async and streamed; the planted keys are in no file."""
    planted = "planted-key-0123456789"
    monkeypatch.setenv("PLANTED_API_KEY", planted)
    pytester.makepyfile(test_it=SUITE)

    recorded = pytester.runpytest_subprocess("--lm-record-mode=once", "-n2")
    simulator.stop()
    refuse = """
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("a replayed suite asked the network")

    socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
    """
    pytester.makeconftest(CONFTEST + refuse)
    replayed = pytester.runpytest_subprocess("-n4", "--lm-unplayed=fail")

    recorded.assert_outcomes(passed=12)
    recorded.stdout.fnmatch_lines(["12 cassettes: 0 played, 24 recorded"])
    replayed.assert_outcomes(passed=12)
    replayed.stdout.fnmatch_lines(["12 cassettes: 24 played, 0 recorded"])
    assert len(files(pytester)) == 12
    for name in files(pytester):
        text = (pytester.path / "cassettes" / name).read_text(encoding="utf-8")
        assert planted not in text
        assert "sk-simulated-planted" not in text
