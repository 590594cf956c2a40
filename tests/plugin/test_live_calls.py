"""Every call of an LM that a test built itself is in the journal, however it ends."""

import re

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("collected")

HEAD = """
        import asyncio

        import dspy
        import pytest

        qa = dspy.Predict("question -> answer")
        SPEC = {"responses": {"default": "four"}}

        @pytest.fixture(params=["native", "litellm"])
        def ask(request, provider_sim):
            engine = "lm15" if request.param == "native" else "litellm"
            return lambda *faults, **more: provider_sim.target("openai/gpt-4o-mini", spec=SPEC, faults=faults).lm(
                engine=engine, **more
            )
"""


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = ignore\n")
    for name in ("OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_live_calls_are_written_down_however_they_end(pytester: pytest.Pytester) -> None:
    """Sync, async, streamed, failed, cut off and cancelled, by DSPy's own client and by litellm."""
    pytester.makepyfile(
        HEAD
        + """
        def only(lm_journal):
            lm_journal.assert_call_count(1, lm="openai/gpt-4o-mini")
            call = lm_journal[0]
            assert (call.engine, call.mocked, dict(call.inputs)) == ("live", False, {"question": "2+2"})
            assert call.signature == "StringSignature"
            assert call.latency_ms > 0
            return call

        def test_answered(ask, lm_journal):
            qa(question="2+2", lm=ask())
            call = only(lm_journal)
            assert (call.outputs, call.error, call.usage.output_tokens > 0) == ({"answer": "four"}, None, True)
            assert "[[ ## question ## ]]\\n2+2" in call.prompt.messages[1]["content"]

        def test_failed(ask, lm_journal):
            with pytest.raises(dspy.LMServerError):
                qa(question="2+2", lm=ask({"kind": "server_error", "message": "out of order"}))
            call = only(lm_journal)
            assert (call.outputs, call.completion) == (None, None)
            assert call.error.startswith("LMServerError: ")
            assert "out of order" in call.error

        def test_a_call_that_dspy_repeats_is_one_call(ask, lm_journal, frozen_lm_clock):
            qa(question="2+2", lm=ask({"kind": "server_error", "calls": [1]}, num_retries=1))
            assert only(lm_journal).error is None

        def test_a_key_is_never_quoted(ask, lm_journal):
            lm = ask()
            key = lm.kwargs["api_key"]
            lm = ask({"kind": "auth", "message": f"{key} is no key"}, api_key=key)
            with pytest.raises(dspy.LMError):
                qa(question="2+2", lm=lm)
            assert "[redacted] is no key" in only(lm_journal).error

        @pytest.mark.asyncio
        async def test_async(ask, lm_journal):
            await qa.acall(question="2+2", lm=ask())
            assert only(lm_journal).completion

        @pytest.mark.asyncio
        async def test_failed_async(ask, lm_journal):
            with pytest.raises(dspy.LMRateLimitError):
                await qa.acall(question="2+2", lm=ask("rate_limit"))
            assert only(lm_journal).error.startswith("LMRateLimitError: ")

        @pytest.mark.asyncio
        async def test_cancelled(ask, lm_journal):
            asked = asyncio.Event()
            async with await asyncio.start_server(lambda *_: asked.set(), "127.0.0.1", 0) as silent:
                host, port = silent.sockets[0].getsockname()
                lm = ask().copy(api_base=f"http://{host}:{port}/v1")
                task = asyncio.create_task(qa.acall(question="2+2", lm=lm))
                await asyncio.wait_for(asked.wait(), 60)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert only(lm_journal).error == "abandoned: CancelledError"

        @pytest.mark.asyncio
        async def test_streamed(ask, lm_journal):
            with dspy.context(lm=ask()):
                chunks = [chunk async for chunk in dspy.streamify(qa)(question="2+2")]
            assert len(chunks) > 2
            assert only(lm_journal).outputs == {"answer": "four"}

        @pytest.mark.asyncio
        async def test_a_stream_that_is_cut(ask, lm_journal):
            with pytest.raises(BaseException), dspy.context(lm=ask("cut_stream")):
                async for _ in dspy.streamify(qa)(question="2+2"):
                    pass
            call = only(lm_journal)
            # Litellm takes what came for the whole.
            assert call.error or "completed" not in call.completion
        """
    )

    # What litellm imports does not survive that pytester forgets it.
    run = pytester.runpytest_subprocess("--lm-policy=live", "-q")

    run.assert_outcomes(passed=18)


def test_a_call_that_is_cancelled_while_it_is_recorded_is_written_down(pytester: pytest.Pytester) -> None:
    """And kept on the cassette, by how it ended: its replay is cancelled, and asks nobody."""
    pytester.makepyfile(
        """
        import asyncio

        import dspy
        import pytest

        @pytest.mark.asyncio
        @pytest.mark.lm_policy("record")
        async def test_it(lm_journal):
            asked = asyncio.Event()
            async with await asyncio.start_server(lambda *_: asked.set(), "127.0.0.1", 0) as silent:
                host, port = silent.sockets[0].getsockname()
                lm = dspy.LM("openai/gpt-4o-mini", api_base=f"http://{host}:{port}/v1", api_key="unused")
                task = asyncio.create_task(lm.acall("2+2"))
                await asyncio.wait_for(asked.wait(), 60)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            call, = lm_journal
            assert (call.engine, call.error) == ("record", "abandoned: CancelledError")
        """
    )

    # The connection that nobody closes is not to trouble the tests of this process.
    run = pytester.runpytest_subprocess()

    run.assert_outcomes(passed=1)
    (cassette,) = pytester.path.rglob("*.yaml")
    assert re.search(r"ended\W+cancelled", cassette.read_text(encoding="utf-8"))


def test_calls_that_no_journal_of_the_kit_would_have_seen(pytester: pytest.Pytester) -> None:
    """By `forward`, from DSPy's cache, of an LM with a `forward` of its own, and of DummyLM: once each."""
    pytester.makepyfile(
        HEAD
        + """
        def test_forward(ask, lm_journal):
            ask().forward("2+2")
            assert dict(lm_journal[0].inputs) == {"prompt": "2+2"}
            lm_journal.assert_call_count(1)

        def test_cache(ask, lm_journal):
            lm = ask(cache=True)
            lm("2+2"), lm("2+2")
            assert [(call.cache_hit, call.cost == 0) for call in lm_journal] == [(False, False), (True, True)]

        class Polite(dspy.LM):
            def forward(self, prompt=None, messages=None, **kwargs):
                return super().forward(prompt=f"please: {prompt}", messages=messages, **kwargs)

        def test_own_forward(ask, lm_journal):
            lm = ask()
            Polite(lm.model, **{"cache": False, "num_retries": 0, **lm.kwargs})("2+2")
            lm_journal.assert_call_count(1)

        def test_dummy(lm_journal):
            with dspy.context(lm=dspy.utils.DummyLM([{"answer": "4"}])):
                qa(question="2+2")
            call, = lm_journal
            assert (call.engine, call.mocked, call.outputs) == ("custom", True, {"answer": "4"})
            lm_journal.assert_no_real_lm()
        """
    )

    pytester.runpytest_subprocess("--lm-policy=live", "-q").assert_outcomes(passed=7)


def test_mocks_with_a_journal_of_their_own_are_in_the_tests_too(pytester: pytest.Pytester) -> None:
    """Wherever they were made, once, and only for as long as the test lasts; their own journal keeps everything."""
    pytester.makepyfile(
        """
        import dspy
        import pytest
        from dspex_testkit import MockLM

        HELD = MockLM.deterministic({"default": "held"})
        qa = dspy.Predict("question -> answer")

        @pytest.mark.parametrize("number", [1, 2])
        def test_held(lm_journal, number):
            qa(question="?", lm=HELD), qa(question="!", lm=HELD.copy())
            lm_journal.assert_call_count(2, lm="mock/mock")
            assert [prompt.inputs for prompt in lm_journal.prompts] == [{"question": "?"}, {"question": "!"}]
            assert len(HELD.journal) == 2 * number

        def test_beside_the_fixture(dspy_lm, mock_lm, lm_journal):
            qa(question="?"), qa(question="?", lm=mock_lm), qa(question="?", lm=HELD)
            lm_journal.assert_call_count(3)
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=3)


def test_a_live_lm_of_a_fixture_is_counted_once(pytester: pytest.Pytester) -> None:
    """The LM that `dspy_lm` gives in a live test, answered and failing, with its cost for the budget."""
    pytester.makepyfile(
        """
        import dspy
        import pytest

        qa = dspy.Predict("question -> answer")

        @pytest.fixture
        def lm_config(provider_sim):
            target = provider_sim.target("openai/gpt-4o-mini", faults=[{"kind": "rate_limit", "calls": [2]}])
            return {
                "model": "openai/gpt-4o-mini",
                "api_base": target.api_base,
                "api_key": target.api_key,
                "params": {"num_retries": 0},
            }

        @pytest.mark.lm_live
        def test_it(dspy_lm, lm_journal):
            assert qa(question="?").answer
            with pytest.raises(dspy.LMRateLimitError):
                qa(question="?")
            assert [(call.engine, call.error is None) for call in lm_journal] == [("live", True), ("live", False)]
            assert [prompt.signature for prompt in lm_journal.prompts] == ["question -> answer"] * 2

        @pytest.mark.lm_live
        def test_one_that_the_test_builds(provider_sim):
            qa(question="?", lm=provider_sim.target("openai/gpt-4o-mini").lm())
        """
    )

    run = pytester.runpytest_inprocess("--lm-live", "--lm-budget=1")

    run.assert_outcomes(passed=2)
    run.stdout.fnmatch_lines(["3 calls in 2 tests: openai/gpt-4o-mini 3", "1 call failed", "$0.0* spent, $0 avoided"])
