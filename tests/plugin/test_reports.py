"""What reports, files and the terminal say of LM calls."""

import json
import re
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dspex_testkit.calls import LMCall
from dspex_testkit.errors import UsageError
from dspex_testkit.plugin.journal_files import RunJournal, TestCalls, read_journal

pytest_plugins = ["pytester"]

SUITE = """
    import dspy
    import pytest

    def test_passing(bridge):
        bridge.configure_lm("openai/gpt-4o-mini")
        bridge.session("alice").configure_lm("openai/gpt-4o")
        qa = bridge.create_program("question -> answer")
        qa(question="one")
        qa.execute(question="two", session="alice")

    def test_failing(bridge):
        bridge.configure_lm("openai/gpt-4o")
        qa = bridge.create_program("question -> answer")
        for number in range(12):
            qa(question=f"question {number}")
        assert qa(question="<last>").answer == "something else"

    def test_other():
        pass
"""


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(test_it=SUITE)


def test_a_failed_test_shows_its_last_calls(pytester: pytest.Pytester) -> None:
    """Also where a plain assert failed: ten calls, the seed, and the command that runs it again."""
    run = pytester.runpytest_inprocess("--lm-seed=3", "--bridge-mode=standalone")

    run.assert_outcomes(passed=2, failed=1)
    text = run.stdout.str()
    section = text.partition("- LM calls -")[2].partition("=====")[0]
    assert "(3 earlier calls not shown)" in section
    assert re.findall(r"^(\d+) ", section, re.MULTILINE) == [str(number) for number in range(4, 14)]
    assert "question='<last>'" in section
    assert "seed 3; again: pytest test_it.py::test_failing --lm-seed=3 --bridge-mode=standalone" in section


def test_the_command_names_the_test_from_where_pytest_was_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from the root of the suite, so that it can be pasted."""
    folder = pytester.mkdir("inner")
    (pytester.path / "test_it.py").rename(folder / "test_it.py")
    monkeypatch.chdir(folder)

    run = pytester.runpytest_inprocess("--rootdir=..", "-k", "failing")

    run.stdout.fnmatch_lines(["*; again: pytest test_it.py::test_failing --lm-seed=0"])


def test_attempts_before_the_last_one_leave_nothing(pytester: pytest.Pytester) -> None:
    """Plugins that try again report those as `rerun`; the calls count all the same."""
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_makereport():
            report = yield
            if report.failed:
                report.outcome = "rerun"
            return report
        """
    )

    run = pytester.runpytest_inprocess("--lm-artifacts=kept", "-k", "failing")

    run.stdout.fnmatch_lines(["13 calls in 1 test: openai/gpt-4o 13"])
    assert not (pytester.path / "kept").exists()


def test_the_summary_names_lms_switches_and_cost(pytester: pytest.Pytester) -> None:
    """A line each for what was called, how often the LM changed, and what that would have cost."""
    run = pytester.runpytest_inprocess()

    run.stdout.fnmatch_lines(
        [
            "*= LM calls =*",
            "15 calls in 2 tests: openai/gpt-4o 14, openai/gpt-4o-mini 1",
            "0 switches of LM within a session",
            "$0 spent, $0.0* avoided",
        ]
    )


def test_a_suite_without_lm_calls_has_no_summary(pytester: pytest.Pytester) -> None:
    """Whoever does not use the kit reads nothing of it."""
    run = pytester.runpytest_inprocess("-k", "other")

    run.stdout.no_fnmatch_line("*LM calls*")


def test_the_journal_file_has_a_line_per_call_and_change(pytester: pytest.Pytester) -> None:
    """Each names its test and how that went; other programs read it, and so does `read_journal`."""
    path = Path(pytester.path) / "out" / "calls.jsonl"

    pytester.runpytest_inprocess(f"--lm-journal={path}")

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    calls = [line for line in lines if line.get("type") != "lm_changed"]
    changes = [line for line in lines if line.get("type") == "lm_changed"]
    assert (len(calls), len(changes)) == (15, 3)
    assert {(line["test"], line["outcome"]) for line in lines} == {
        ("test_it.py::test_passing", "passed"),
        ("test_it.py::test_failing", "failed"),
    }
    assert (calls[0]["provider"], calls[0]["model"], calls[0]["scope"]) == ("openai", "gpt-4o-mini", "global")
    journal = read_journal(path)
    assert [len(test.calls) for test in journal.tests] == [2, 13]
    assert journal.tests[0].calls[1].session_id == "alice"
    assert isinstance(journal.tests[0].calls[0].cost, Decimal)


def test_a_journal_is_read_back_whatever_its_texts_hold(tmp_path: Path) -> None:
    """What Unicode takes for the end of a line is none in a file of lines."""
    path = tmp_path / "calls.jsonl"
    call = LMCall(provider="openai", model="a", completion="one\u2028two\x85three\nfour")
    RunJournal([TestCalls("test_it", calls=[call])]).write(path)

    assert read_journal(path).calls == [call]


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    """With the option that writes one."""
    path = tmp_path / "calls.jsonl"
    path.write_text('{"provider": "openai"}\n', encoding="utf-8")

    with pytest.raises(UsageError, match="is no journal of LM calls; one is written by pytest --lm-journal=FILE"):
        read_journal(path)


def test_a_failed_test_leaves_its_calls_prompts_and_logs(pytester: pytest.Pytester) -> None:
    """One folder per failed test; what is green leaves nothing."""
    pytester.runpytest_inprocess("--lm-artifacts=kept", "--bridge-mode=all")

    kept = {folder.name: {file.name for file in folder.iterdir()} for folder in (pytester.path / "kept").iterdir()}
    assert kept.keys() == {f"test_it.py-test_failing-{mode}" for mode in ("inproc", "standalone", "pool")}
    assert kept["test_it.py-test_failing-inproc"] == {"calls.jsonl", "about.txt", "prompts.txt"}
    assert kept["test_it.py-test_failing-standalone"] == {"calls.jsonl", "about.txt", "prompts.txt", "standalone.log"}
    assert len([name for name in kept["test_it.py-test_failing-pool"] if name.startswith("worker_")]) == 2
    for mode in ("inproc", "standalone", "pool"):
        folder = pytester.path / "kept" / f"test_it.py-test_failing-{mode}"
        assert "[[ ## question ## ]]\nquestion 11" in (folder / "prompts.txt").read_text(encoding="utf-8")
    assert "question='question 11'" not in (folder / "about.txt").read_text(encoding="utf-8")
    assert "standalone started" in (folder.parent / "test_it.py-test_failing-standalone" / "standalone.log").read_text(
        encoding="utf-8"
    )


def test_a_file_that_cannot_be_written_is_told_at_the_end(pytester: pytest.Pytester) -> None:
    """The tests have their outcomes all the same; the run has failed."""
    (pytester.path / "taken").touch()

    run = pytester.runpytest_inprocess("--lm-journal=taken/calls.jsonl", "--lm-artifacts=taken", "-k", "passing")
    failing = pytester.runpytest_inprocess("--lm-artifacts=taken")

    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(["--lm-journal: File exists: *taken"])
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    failing.assert_outcomes(passed=2, failed=1)
    failing.stdout.fnmatch_lines(["--lm-artifacts: Not a directory: *taken*"])


def test_calls_of_subtests_count_once(pytester: pytest.Pytester) -> None:
    """Each subtest that fails shows the calls so far and leaves them behind; the run has them from the test."""
    pytester.makepyfile(
        test_it="""
        import dspy

        def test_it(subtests, dspy_lm):
            for number in range(3):
                with subtests.test(number=number):
                    dspy.Predict("question -> answer")(question=str(number))
                    assert number != 1
        """
    )

    run = pytester.runpytest_inprocess("--lm-artifacts=kept")

    run.stdout.fnmatch_lines(["*- LM calls -*", "2 *question='1'*", "3 calls in 1 test: mock/mock 3"])
    assert len((pytester.path / "kept/test_it.py-test_it/calls.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_junit_properties_carry_calls_cost_and_seed(pytester: pytest.Pytester) -> None:
    """For dashboards that read JUnit's files."""
    pytester.runpytest_inprocess("--junitxml=junit.xml", "--lm-seed=5")

    cases = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    properties = {case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")} for case in cases}
    assert properties["test_passing"]["lm_calls"] == "2"
    assert properties["test_failing"]["lm_seed"] == "5"
    assert Decimal(str(properties["test_failing"]["lm_cost_usd"])) > 0
    assert properties["test_other"] == {}


def test_a_suite_gets_the_calls_of_the_whole_run(pytester: pytest.Pytester) -> None:
    """A hook for reports of one's own."""
    pytester.makeconftest(
        """
        def pytest_dspex_lm_calls(config, journal):
            print("HOOK", [(test.nodeid, test.outcome, len(test.calls)) for test in journal.tests])
        """
    )

    run = pytester.runpytest_inprocess("-s", "-k", "passing")

    run.stdout.fnmatch_lines(["*HOOK [[]('test_it.py::test_passing', 'passed', 2)[]]*"])


def test_a_failing_setup_tells_what_was_called(pytester: pytest.Pytester) -> None:
    """A fixture may use the bridge too."""
    pytester.makepyfile(
        test_setup="""
        import pytest

        @pytest.fixture
        def broken(bridge):
            bridge.configure_lm("openai/gpt-4o")
            bridge.create_program("question -> answer")(question="in setup")
            raise RuntimeError("broken")

        def test_it(broken): pass
        """
    )

    run = pytester.runpytest_inprocess("test_setup.py", "--lm-journal=calls.jsonl")

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*- LM calls -*", "*question='in setup'*"])
    assert len(read_journal(pytester.path / "calls.jsonl").calls) == 1


def test_a_plain_assert_shows_what_differs(pytester: pytest.Pytester) -> None:
    """Answers field by field, calls by their fields; beside pytest's own words, not instead of them."""
    pytester.makepyfile(
        test_compare="""
        import pytest

        @pytest.mark.lm("openai/gpt-4o", responses={"default": {"answer": "Paris", "why": "because"}})
        def test_it(bridge, lm_journal):
            answer = bridge.create_program("question -> answer, why")(question="?")
            assert answer == {"answer": "Rome", "why": "because"}
        """
    )

    run = pytester.runpytest_inprocess("test_compare.py")

    run.stdout.fnmatch_lines(
        [
            "E * assert Answer(answer='Paris', why='because', lm='openai/gpt-4o', scope='default') == {*",
            "*answer: 'Paris', expected 'Rome'",
        ]
    )


def test_a_failure_shows_no_key_of_the_test(pytester: pytest.Pytester) -> None:
    """Of a marker, of a bridge's client, of an LM that was asked: in the terminal, for JUnit, and in artifacts."""
    keys = [f"{place}-key-0123456789-{place}" for place in ("marker", "client", "built", "default")]
    file = pytester.makepyfile(
        f"""
        import dspy
        import pytest

        @pytest.mark.lm("openai/gpt-4o", api_key={keys[0]!r})
        def test_marker(bridge):
            assert "an answer" == {keys[0]!r}

        def test_client(bridge):
            bridge.configure_lm("openai/gpt-4o", api_key={keys[1]!r})
            assert {{"api_key": {keys[1]!r}}} == {{}}

        @pytest.mark.lm_policy("mock")
        def test_built(lm_journal):
            lm = dspy.LM("openai/gpt-4o", api_key={keys[2]!r})
            lm("?")
            raise ValueError(f"refused: {{lm.kwargs}}")

        def test_default(bridge_factory):
            bridge_factory(lm={{"model": "openai/gpt-4o", "api_key": {keys[3]!r}}})
            print("the key is", {keys[3]!r})
            assert not "the end"
        """
    )

    run = pytester.runpytest_inprocess(file, "--junitxml=junit.xml", "--lm-artifacts=artifacts", "--tb=line", "-rA")

    run.assert_outcomes(failed=4)
    artifacts = filter(Path.is_file, Path(pytester.path, "artifacts").rglob("*"))
    written = [path.read_text(encoding="utf-8", errors="replace") for path in artifacts]
    shown = "\n".join([str(run.stdout), (pytester.path / "junit.xml").read_text(encoding="utf-8"), *written])
    assert [key for key in keys if key in shown or key[:9] in shown or key[-9:] in shown] == []
    assert shown.count("[redacted]") >= 4
