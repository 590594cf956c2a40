"""What the fixtures give, in every mode."""

import pytest

pytest_plugins = ["pytester"]

INI = "[pytest]\naddopts = --strict-markers\nasyncio_default_fixture_loop_scope = function\n"


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI)


def test_programs_read_like_python_in_every_mode(pytester: pytest.Pytester) -> None:
    """A test of LM switching is a few lines, and the same ones in process, standalone and pooled."""
    pytester.makepyfile(
        """
        def mock(answer):
            return {"provider": "mock", "model": answer, "responses": {"default": answer}}

        def test_switching(bridge, lm_journal):
            bridge.configure_lm(mock("global"))
            qa = bridge.create_program("question -> answer")
            own = bridge.create_program("question -> answer", lm=mock("program"))
            alice = bridge.session("alice")
            alice.configure_lm(mock("session"))

            assert qa(question="?").answer == "global"
            assert own(question="?").answer == "program"
            assert alice.program(qa.program_id)(question="?").answer == "session"
            assert qa.execute(question="?", session="alice").lm.scope == "session"
            assert qa.execute(question="?", lm=mock("execution")).answered_by.model == "execution"
            assert qa(question="?") == {"answer": "global"}

            lm_journal.assert_switched("mock/global", "program", "session", "execution", "global")
            lm_journal.assert_answered_by("mock/program", scope="program", program=own)
            lm_journal.assert_isolated({"alice": "session"})
            lm_journal.assert_nothing_leaked()
            lm_journal.assert_no_fallback()
            lm_journal.assert_no_real_lm()
            lm_journal.assert_call_count(6)
            lm_journal.assert_call_count(2, session=alice)
            call = lm_journal.calls[0]
            assert (call.scope, call.provider, call.model) == ("global", "mock", "global")
            assert (call.program_id, call.session_id) == (qa.program_id, None)
            assert (dict(call.inputs), dict(call.outputs)) == ({"question": "?"}, {"answer": "global"})
            assert (call.worker_id is not None) == (bridge.mode == "pool")
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=all").assert_outcomes(passed=3)


def test_every_test_starts_clean_on_bridges_that_are_kept(pytester: pytest.Pytester) -> None:
    """Programs, LMs, sessions and calls of one test are nothing to the next, though the processes are the same."""
    pytester.makepyfile(
        """
        import pytest

        from dspex_testkit.errors import RemoteCommandError

        seen = {}

        @pytest.mark.parametrize("number", [1, 2])
        def test_clean(bridge, lm_journal, number):
            from dspex_testkit.plugin.bridges import processes_of
            pids = sorted(process.pid for process in processes_of(bridge.client).values())
            assert seen.setdefault(bridge.mode, pids) == pids
            assert not lm_journal
            assert bridge.programs() == []
            qa = bridge.create_program("question -> answer")
            assert qa.program_id == "program_1"
            with pytest.raises(RemoteCommandError, match="No LM is loaded"):
                qa(question="?")
            bridge.configure_lm("openai/gpt-4o-mini")
            bridge.session("alice").configure_lm("openai/gpt-4o")
            qa(question="?")
            assert len(lm_journal) == 1
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=all").assert_outcomes(passed=6)


@pytest.mark.parametrize(("reuse", "processes"), [("session", 1), ("module", 2), ("function", 4)])
def test_processes_are_kept_as_long_as_asked(pytester: pytest.Pytester, reuse: str, processes: int) -> None:
    """For the whole run, for a module, or for one test."""
    test = """
        def test_one(bridge, record_property): record_property("pid", bridge.client.pid)
        def test_two(bridge, record_property): record_property("pid", bridge.client.pid)
    """
    pytester.makepyfile(test_a=test, test_b=test)

    run = pytester.inline_run("--bridge-mode=standalone", f"--bridge-reuse={reuse}")

    passed, _, _ = run.listoutcomes()
    pids = [value for report in passed for name, value in report.user_properties if name == "pid"]
    assert (len(pids), len(set(pids))) == (4, processes)


def test_a_bridge_that_was_broken_is_not_given_to_the_next_test(pytester: pytest.Pytester) -> None:
    """A killed worker, or process, is replaced before anybody else meets it."""
    pytester.makepyfile(
        """
        import pytest
        from dspex_testkit.plugin.bridges import processes_of

        @pytest.mark.parametrize("number", [1, 2])
        def test_kill(bridge, number):
            bridge.configure_lm("openai/gpt-4o")
            assert bridge.create_program("question -> answer")(question="?").answer
            for process in processes_of(bridge.client).values():
                process.kill()
                assert process.wait(60)
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=all").assert_outcomes(passed=6)


def test_the_marker_chooses_the_mode_over_the_option(pytester: pytest.Pytester) -> None:
    """A test of the pool itself says so, whatever the run is about."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.bridge(mode="pool", workers=3)
        def test_pool(bridge):
            assert bridge.mode == "pool"
            assert len(bridge.pool.processes()) == 3

        @pytest.mark.bridge("standalone")
        def test_standalone(bridge):
            assert bridge.mode == "standalone"

        def test_pool_beside(bridge, bridge_pool):
            assert (bridge.mode, bridge_pool.mode) == ("inproc", "pool")
            assert len(bridge_pool.pool.processes()) == 2
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=inproc").assert_outcomes(passed=3)


def test_a_factory_makes_bridges_that_know_nothing_of_each_other(pytester: pytest.Pytester) -> None:
    """One test may have several, with settings of their own."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("mode", ["inproc", "standalone"])
        def test_two(bridge_factory, lm_journal, mode):
            one = bridge_factory(mode, lm="openai/gpt-4o")
            other = bridge_factory(mode, lm="openai/gpt-4", strict=True)
            qa = one.create_program("question -> answer", id="qa")
            assert other.programs() == []
            assert qa(question="?").lm.model == "gpt-4o"
            again = other.create_program("question -> answer", id="qa")
            assert again(question="?").lm.scope == "default"
            lm_journal.assert_sequence("openai/gpt-4o", "openai/gpt-4")
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_markers_and_hooks_configure_bridge_and_lm(pytester: pytest.Pytester) -> None:
    """A marker's LM is the default; a suite's hooks may change it, and what a bridge is told."""
    pytester.makeconftest(
        """
        def pytest_dspex_configure_bridge(item, settings):
            settings["strict"] = True

        def pytest_dspex_lm_config(item, config):
            return {**config, "temperature": 0.5} if isinstance(config, dict) else None
        """
    )
    pytester.makepyfile(
        """
        import pytest
        from dspex_testkit.errors import RemoteCommandError

        @pytest.mark.lm("openai/gpt-4o", responses={"default": "hello"})
        def test_marked(bridge):
            qa = bridge.create_program("question -> answer")
            answer = qa(question="?")
            assert (answer.answer, str(answer.lm), answer.lm.scope) == ("hello", "openai/gpt-4o", "default")
            assert qa.get_lm()["lm"]["params"] == {"temperature": 0.5}
            with pytest.raises(RemoteCommandError, match="invalid_program"):
                bridge.create_program("no signature at all")

        class TestOverridden:
            @pytest.fixture
            def lm_config(self):
                return "anthropic/claude-3-haiku"

            def test_fixture(self, bridge):
                assert bridge.create_program("question -> answer")(question="?").lm.provider == "anthropic"

        @pytest.mark.bridge(stricct=True)
        def test_misspelt(bridge):
            pass
        """
    )

    run = pytester.runpytest_inprocess("--bridge-mode=standalone")

    run.assert_outcomes(passed=2, errors=1)
    run.stdout.fnmatch_lines(["*a bridge has no setting 'stricct'*"])


def test_dspy_programs_need_no_bridge(pytester: pytest.Pytester) -> None:
    """`dspy_lm` is DSPy's LM in sync tests, in async ones of both libraries, and in classes."""
    pytester.makepyfile(
        """
        import unittest

        import dspy
        import pytest

        qa = dspy.Predict("question -> answer")
        pytestmark = pytest.mark.lm("openai/gpt-4o-mini", responses={"default": "42"})

        def test_sync(dspy_lm, lm_journal):
            assert qa(question="?").answer == "42"
            lm_journal.assert_answered_by("openai/gpt-4o-mini")
            assert lm_journal[0].signature == "StringSignature"

        @pytest.mark.asyncio
        async def test_asyncio(dspy_lm, lm_journal):
            assert (await qa.acall(question="?")).answer == "42"
            lm_journal.assert_call_count(1)

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_anyio(dspy_lm, lm_journal):
            assert (await qa.acall(question="?")).answer == "42"
            lm_journal.assert_call_count(1)

        def test_given(mock_lm, lm_journal):
            with dspy.context(lm=mock_lm):
                assert qa(question="?").answer == "42"
            lm_journal.assert_call_count(1)

        @pytest.mark.usefixtures("dspy_lm")
        class Unit(unittest.TestCase):
            def test_unit(self):
                self.assertEqual(qa(question="?").answer, "42")
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=5)


def test_faults_strike_without_anybody_waiting(pytester: pytest.Pytester) -> None:
    """A marker brings the fault, and the frozen clock sees all pauses, the bridge's in this process too."""
    pytester.makepyfile(
        """
        import dspy
        import pytest
        from dspex_testkit.errors import RemoteCommandError

        @pytest.mark.lm_faults("rate_limit", calls=[1])
        def test_fault(dspy_lm, lm_journal):
            with pytest.raises(dspy.LMRateLimitError):
                dspy.Predict("question -> answer")(question="?")
            assert dspy.Predict("question -> answer")(question="?").answer
            assert [call.fault for call in lm_journal] == ["rate_limit", None]

        @pytest.mark.lm_policy("mock")
        @pytest.mark.lm_faults("rate_limit", calls=[1], retry_after=30)
        def test_retry(frozen_lm_clock):
            with dspy.context(lm=dspy.LM("openai/gpt-4o-mini")):
                assert dspy.Predict("question -> answer")(question="?").answer
            assert frozen_lm_clock.slept == [30]

        @pytest.mark.lm(latency_ms=60_000)
        def test_slow(frozen_lm_clock, bridge):
            bridge.create_program("question -> answer")(question="?")
            assert frozen_lm_clock.now() == 60

        @pytest.mark.lm("openai/gpt-4o")
        @pytest.mark.lm_faults("server_error")
        def test_bridge(bridge):
            with pytest.raises(RemoteCommandError, match="execute_program failed"):
                bridge.create_program("question -> answer")(question="?")

        @pytest.mark.bridge(mode="standalone")
        def test_elsewhere(frozen_lm_clock, bridge_factory):
            bridge_factory("standalone")
        """
    )

    run = pytester.runpytest_inprocess()

    run.assert_outcomes(passed=4, failed=1)
    run.stdout.fnmatch_lines(["*frozen_lm_clock stops the clock of this process, but the bridge runs standalone*"])


def test_async_programs_and_mock_lms_as_configs(pytester: pytest.Pytester) -> None:
    """A program may be awaited, and a `MockLM` given wherever an LM is wanted."""
    pytester.makepyfile(
        """
        import pytest
        from dspex_testkit import MockLM
        from dspex_testkit.plugin import BridgeFixture, LMJournal

        @pytest.mark.asyncio
        async def test_await(bridge: BridgeFixture, lm_journal: LMJournal) -> None:
            qa = bridge.create_program("question -> answer", lm=MockLM.deterministic({"default": "yes"}, model="m"))
            assert (await qa.acall(question="?")).answer == "yes"
            assert (await qa.aexecute(question="?", lm="openai/gpt-4o")).lm.model == "gpt-4o"
            assert (await bridge.acall("ping"))["status"] == "ok"
            lm_journal.assert_sequence("mock/m", "openai/gpt-4o")
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=all").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "complaint"),
    [
        ("bridge(mode='pol')", "mode is one of inproc, standalone, pool, got 'pol' (did you mean 'pool'?)"),
        ("bridge(workers=0)", "workers is a number of at least 1, got 0"),
        ("bridge(wrkers=2)", "a bridge has no setting 'wrkers'; did you mean 'workers'?"),
        ("lm_policy('mocked')", "lm_policy takes one of mock, replay, record, live"),
        ("lm()", "the marker lm takes a model or a config"),
        ("lm('mock', respnses={})", "the marker lm: 'respnses' is no key of an LM config (did you mean 'responses'?)"),
        ("lm_faults()", "lm_faults takes kinds of faults"),
    ],
)
def test_a_marker_written_wrongly_is_explained(pytester: pytest.Pytester, marker: str, complaint: str) -> None:
    """The test errs before it runs, with what was wanted and what came."""
    pytester.makepyfile(f"import pytest\n\n@pytest.mark.{marker}\ndef test_it(bridge): pass\n")

    run = pytester.runpytest_inprocess()

    run.assert_outcomes(errors=1)
    assert complaint in run.stdout.str()


def test_a_mistyped_key_is_an_error_in_python(pytester: pytest.Pytester) -> None:
    """On the wire, where clients send markers of their own, it is named in the warnings and no more."""
    pytester.makepyfile(
        """
        import pytest
        from dspex_testkit import MockLM
        from dspex_testkit.errors import UsageError

        WRONG = {"model": "openai/gpt-4o", "temprature": 0}

        def test_it(bridge, bridge_factory):
            qa = bridge.create_program("question -> answer", lm="mock")
            for wrong in (
                lambda: bridge.configure_lm("openai/gpt-4o", temprature=0),
                lambda: bridge.define_lm("cheap", WRONG),
                lambda: bridge.create_program("question -> answer", lm={"lm": WRONG}),
                lambda: qa.execute(question="?", lm=WRONG),
                lambda: bridge_factory(lm=WRONG),
            ):
                with pytest.raises(UsageError, match="'temprature' is no key of an LM config .did you mean 'temper"):
                    wrong()
            assert "temprature" in bridge.ask("configure_lm", WRONG).result["warnings"][0]

        def test_a_factory_takes_a_mock(bridge_factory):
            bridge = bridge_factory(lm=MockLM.deterministic({"default": "yes"}))
            assert bridge.create_program("question -> answer")(question="?").answer == "yes"
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=all").assert_outcomes(passed=6)


def test_classes_of_unittest_may_use_the_fixtures(pytester: pytest.Pytester) -> None:
    """As pytest lets them: through fixtures that are used for all, and markers. They run in one mode."""
    pytester.makepyfile(
        """
        import unittest

        import dspy
        import pytest

        class Switching(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _fixtures(self, bridge, lm_journal):
                self.bridge, self.journal = bridge, lm_journal

            def setUp(self):
                self.qa = self.bridge.create_program("question -> answer")

            @pytest.mark.lm("openai/gpt-4o")
            def test_it(self):
                self.assertEqual(self.qa(question="?").lm.model, "gpt-4o")
                self.journal.assert_answered_by("openai/gpt-4o", scope="default")

        @pytest.mark.usefixtures("dspy_lm")
        class Program(unittest.TestCase):
            @pytest.mark.lm(responses={"default": "yes"})
            def test_it(self):
                self.assertEqual(dspy.Predict("question -> answer")(question="?").answer, "yes")

        class AsyncProgram(unittest.IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def _fixtures(self, mock_lm, lm_journal):
                self.lm, self.journal = mock_lm, lm_journal

            async def test_it(self):
                await dspy.Predict("question -> answer").acall(question="?", lm=self.lm)
                self.journal.assert_call_count(1)
        """
    )

    for mode in ("standalone", "all"):
        pytester.runpytest_inprocess(f"--bridge-mode={mode}").assert_outcomes(passed=3)


def test_a_bridge_that_lies_is_its_own_tests_business(pytester: pytest.Pytester) -> None:
    """What it says instead of its journal is no call, and the next test has another bridge."""
    pytester.makepyfile(
        """
        import json

        def lie(payload):
            return [json.dumps({**json.loads(payload), "result": {"calls": [{"odd": 1}]}}).encode()]

        def test_liar(bridge, lm_journal):
            bridge.client.tamper = lie
            assert bridge.call("ping") == {"calls": [{"odd": 1}]}
            assert not lm_journal

        def test_next(bridge):
            assert bridge.call("ping")["status"] == "ok"
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=standalone").assert_outcomes(passed=2)


def test_a_failure_shows_the_lines_of_the_test(pytester: pytest.Pytester) -> None:
    """How the plugin came upon what is wrong is nobody's business."""
    pytester.makepyfile(
        """
        def test_it(bridge):
            bridge.configure_lm(7)

        def test_command(bridge):
            bridge.program("none")(question="?")
        """
    )

    run = pytester.runpytest_inprocess("--tb=short")

    run.stdout.fnmatch_lines(["    bridge.configure_lm(7)", "E * lm is a model such as *"])
    run.stdout.fnmatch_lines(["    bridge.program(?none?)(question=???)", "E *RemoteCommandError: *"])
    run.stdout.no_fnmatch_line("*dspex_testkit/p*.py:*: in *")


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--bridge-workers=none", "--bridge-workers: wanted a number of at least 1, got 'none'"),
        ("--lm-seed=x", "--lm-seed: wanted an integer, got 'x'"),
        ("--lm-budget=much", "--lm-budget: wanted US dollars such as 0.50, got 'much'"),
    ],
)
def test_an_option_that_cannot_be_used_is_explained(pytester: pytest.Pytester, option: str, complaint: str) -> None:
    """Pytest ends at once and says which option it was."""
    run = pytester.runpytest_inprocess(option)

    run.stderr.fnmatch_lines([f"ERROR: {complaint}"])


def test_the_ini_file_says_what_options_say(pytester: pytest.Pytester) -> None:
    """Each option has an ini key of the same name; the command line wins."""
    pytester.makeini(INI + "bridge_mode = standalone\nlm_seed = 7\nlm_policy = mock\n")
    pytester.makepyfile("def test_it(bridge, lm_seed): assert (bridge.mode, lm_seed) == ('standalone', 8)")

    pytester.runpytest_inprocess("--lm-seed=8").assert_outcomes(passed=1)


def test_sessions_stay_apart_while_they_ask_at_once(pytester: pytest.Pytester) -> None:
    """Eight sessions on as many threads, each with its own LM; nobody meets another's, in any mode."""
    pytester.makepyfile(
        """
        from concurrent.futures import ThreadPoolExecutor

        def test_at_once(bridge, lm_journal):
            qa = bridge.create_program("question -> answer")
            names = [f"session-{number}" for number in range(8)]
            for name in names:
                bridge.session(name).configure_lm(f"mock/{name}", responses={"default": name})

            def ask(name):
                return [qa.execute(question=str(n), session=name).answer for n in range(5)]

            with ThreadPoolExecutor(8) as pool:
                assert list(pool.map(ask, names)) == [[name] * 5 for name in names]
            lm_journal.assert_isolated({name: f"mock/{name}" for name in names})
            lm_journal.assert_nothing_leaked()
            lm_journal.assert_no_fallback()
            lm_journal.assert_call_count(40)
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=all").assert_outcomes(passed=3)


def test_the_journal_may_be_read_while_others_ask(pytester: pytest.Pytester) -> None:
    """Reading it takes no worker away from anybody, and no answer."""
    pytester.makepyfile(
        """
        from concurrent.futures import ThreadPoolExecutor

        def test_reading(bridge_pool, lm_journal):
            bridge_pool.configure_lm("mock", latency_ms=20, responses={"default": "yes"})
            qa = bridge_pool.create_program("question -> answer")
            with ThreadPoolExecutor(3) as threads:
                asking = [threads.submit(qa, question=str(number)) for number in range(20)]
                seen = [len(lm_journal) for _ in range(10)]
                assert [asked.result().answer for asked in asking] == ["yes"] * 20
            assert seen == sorted(seen)
            lm_journal.assert_call_count(20)
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=1)


WARNED = """
    import pytest

    MOCK = {"provider": "mock", "responses": {"default": "yes"}}

    def test_mistyped(bridge):
        bridge.configure_lm(MOCK)
        qa = bridge.create_program("question -> answer")
        qa.execute(question="?", options={"lm_confg": MOCK})

    def test_fallback(bridge):
        bridge.call("create_program", {"id": "qa", "signature": "nothing of that kind"})
"""


def test_what_a_bridge_ignores_fails_the_test(pytester: pytest.Pytester) -> None:
    """A mistyped option, or a signature that cannot be used, would otherwise pass for what was meant."""
    pytester.makepyfile(WARNED)

    result = pytester.runpytest_inprocess("--bridge-mode=inproc")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*BridgeWarning: execute_program knows no option 'lm_confg' (did you mean 'lm_config'?)*"]
    )


def test_a_suite_may_let_bridges_ignore_things(pytester: pytest.Pytester) -> None:
    """As pytest does for warnings: in the ini file, by mark or by `pytest.warns`; `ask` issues none."""
    pytester.makepyfile(
        WARNED
        + """
    def test_expected(bridge):
        bridge.configure_lm(MOCK)
        with pytest.warns(UserWarning, match="signature"):
            bridge.call("create_program", {"id": "qa", "signature": "nothing of that kind"})
        bridge.call("execute_program", {"program_id": "qa", "inputs": {"question": "?"}})
        assert bridge.ask("execute_program", {"program_id": "qa", "inputs": {}, "nobody": 1}).success is False
"""
    )
    pytester.makeini(f"{INI}filterwarnings = default::dspex_testkit.errors.BridgeWarning\n")

    pytester.runpytest_inprocess("--bridge-mode=inproc").assert_outcomes(passed=3, warnings=2)


def test_an_output_named_warnings_warns_of_nothing(pytester: pytest.Pytester) -> None:
    """It is what the program said."""
    pytester.makepyfile(
        """
        def test_output(bridge):
            bridge.configure_lm({"provider": "mock", "responses": {"default": ["careful"]}})
            assert bridge.create_program("question -> warnings: list[str]")(question="?").warnings == ["careful"]
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=inproc").assert_outcomes(passed=1)
