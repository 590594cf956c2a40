"""The policy of a run decides who answers for LMs that tests build themselves."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("collected")

INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeini(INI)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_every_lm_that_a_test_builds_or_holds_is_answered(pytester: pytest.Pytester) -> None:
    """Constructed before or within, loaded, copied, set on a module, in threads and tasks; sync and async."""
    pytester.makepyfile(
        """
        import asyncio
        import threading

        import dspy
        import pytest

        HELD = dspy.LM("openai/gpt-4o-mini")
        qa = dspy.Predict("question -> answer")

        def test_held(lm_journal):
            with dspy.context(lm=HELD):
                assert qa(question="1").answer
            lm_journal.assert_answered_by("openai/gpt-4o-mini")

        def test_constructed_and_set(lm_journal):
            program = dspy.ChainOfThought("question -> answer")
            program.set_lm(dspy.LM("anthropic/claude-3-haiku-20240307", api_key="unused"))
            assert program(question="2").answer
            lm_journal.assert_answered_by("anthropic/claude-3-haiku-20240307")

        def test_loaded(lm_journal, tmp_path):
            program = dspy.Predict("question -> answer")
            program.set_lm(dspy.LM("gemini/gemini-1.5-flash"))
            program.save(tmp_path / "program.json")
            loaded = dspy.Predict("question -> answer")
            loaded.load(tmp_path / "program.json")
            assert loaded(question="3").answer
            lm_journal.assert_answered_by("google/gemini-1.5-flash")

        def test_in_threads_and_parallel(lm_journal):
            lm = dspy.LM("openai/gpt-4o")
            def work():
                with dspy.context(lm=lm):
                    qa(question="4")
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            with dspy.context(lm=lm):
                dspy.Parallel(num_threads=2, disable_progress_bar=True)([(qa, {"question": "5"})] * 3)
            lm_journal.assert_call_count(7, lm="openai/gpt-4o")

        @pytest.mark.asyncio
        async def test_async_and_streamed(lm_journal):
            with dspy.context(lm=dspy.LM("openai/gpt-4o").copy(temperature=0.5)):
                await asyncio.gather(*(qa.acall(question=str(n)) for n in range(5)))
                chunks = [chunk async for chunk in dspy.streamify(qa)(question="?")]
            assert len(chunks) > 2
            lm_journal.assert_call_count(6)
            assert {call.inputs["question"] for call in lm_journal} == {"0", "1", "2", "3", "4", "?"}

        def test_configured(lm_journal):
            dspy.configure(lm=dspy.LM("openai/gpt-4o"))
            try:
                qa(question="6")
                dspy.settings.lm("a text", n=2)
            finally:
                dspy.configure(lm=None)
            lm_journal.assert_call_count(3)
        """
    )

    pytester.runpytest_inprocess("--lm-policy=mock").assert_outcomes(passed=6)


def test_mocks_answer_as_the_markers_say(pytester: pytest.Pytester) -> None:
    """An LM's answers come from the config of its own model, else from one for mocks in general."""
    pytester.makepyfile(
        """
        import dspy
        import pytest

        pytestmark = pytest.mark.lm_policy("mock")
        qa = dspy.Predict("question -> answer")

        @pytest.mark.lm("openai/gpt-4o", responses={"default": "four"})
        @pytest.mark.lm(responses={"default": "any"})
        def test_by_model():
            heard = [qa(question="?", lm=dspy.LM(model)).answer for model in ("openai/gpt-4o", "openai/gpt-4", "x/y")]
            assert heard == ["four", "any", "any"]

        @pytest.mark.lm(script=["one", "two"])
        def test_copies_share_a_script(lm_journal):
            lm = dspy.LM("openai/gpt-4o")
            assert [qa(question="?", lm=each).answer for each in (lm, lm.copy())] == ["one", "two"]
            assert lm_journal[0].rule == "script[0]"

        @pytest.mark.lm(mode="random")
        def test_rollouts_differ(lm_journal):
            lm = dspy.LM("openai/gpt-4o", temperature=1.0)
            heard = {qa(question="?", lm=lm.copy(rollout_id=number)).answer for number in range(5)}
            assert len(heard) == 5
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=3)


def test_nothing_is_answered_or_remembered_beyond_the_test(pytester: pytest.Pytester) -> None:
    """Off unless asked for; DSPy's own cache never sees a mock's answer, and no test sees another's."""
    pytester.makepyfile(
        """
        import dspy
        import pytest
        from dspy.clients import execution

        own = execution._select_engine
        cache = dspy.cache
        qa = dspy.Predict("question -> answer")

        @pytest.mark.lm_policy("mock")
        @pytest.mark.parametrize("number", [1, 2])
        def test_mocked(lm_journal, number):
            for _ in range(2):
                qa(question="?", lm=dspy.LM("openai/gpt-4o"))
            lm_journal.assert_call_count(2)
            assert dspy.cache is not cache

        def test_untouched():
            assert execution._select_engine is own
            assert dspy.cache is cache

        def test_without_a_policy_it_is_asked_and_refused(lm_journal, mock_lm):
            with pytest.raises(Exception, match="LM openai/gpt-4o for test .*::test_without_a_policy"):
                qa(question="?", lm=dspy.LM("openai/gpt-4o", api_key="sk-none", num_retries=0))
            assert dspy.cache is not cache
        """
    )

    run = pytester.runpytest_inprocess()

    run.assert_outcomes(passed=4)


def test_recordings_are_made_once_and_replayed(pytester: pytest.Pytester) -> None:
    """`record` asks the LM and keeps what it said beside the test; `replay` asks nobody."""
    pytester.makepyfile(
        """
        import dspy
        import pytest
        from dspex_testkit.simulator import ProviderSimulator

        qa = dspy.Predict("question -> answer")

        @pytest.fixture
        def lm(request):
            if request.config.getoption("lm_policy") == "replay":
                yield dspy.LM("openai/gpt-4o-mini", num_retries=0)
            else:
                with ProviderSimulator() as simulator:
                    target = simulator.target("openai/gpt-4o-mini", spec={"responses": {"default": "said once"}})
                    yield target.lm()

        def test_it(lm, lm_journal):
            assert qa(question="?", lm=lm).answer == "said once"
            lm_journal.assert_call_count(1)
        """
    )

    pytester.runpytest_inprocess("--lm-policy=record").assert_outcomes(passed=1)
    recorded = list(Path(pytester.path).rglob("*.yaml"))
    pytester.runpytest_inprocess("--lm-policy=replay").assert_outcomes(passed=1)

    assert [path.parent.name for path in recorded] == ["test_recordings_are_made_once_and_replayed"]
    recorded[0].unlink()
    pytester.runpytest_inprocess("--lm-policy=replay").assert_outcomes(failed=1)
