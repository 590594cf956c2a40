"""What LMs were asked, as values that a snapshot may hold, wherever they were asked."""

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")


def test_prompts_are_stable_values(pytester: pytest.Pytester) -> None:
    """Signature, adapter, instructions, demos and messages apart; the same in every run, so a change is seen."""
    pytester.makepyfile(
        test_prompts="""
        import dspy

        def ask(adapter=None):
            program = dspy.Predict(dspy.Signature("question -> answer", "Be brief."))
            program.demos = [dspy.Example(question="a", answer="b")]
            with dspy.context(adapter=adapter):
                program(question="?")

        def test_prompts(dspy_lm, lm_journal, snapshot):
            ask()
            ask(dspy.JSONAdapter())
            chat, json = lm_journal.prompts
            assert (chat.signature, chat.adapter) == ("question -> answer", "ChatAdapter")
            assert (chat.instructions, chat.inputs) == ("Be brief.", {"question": "?"})
            assert chat.demos == [{"question": "a", "answer": "b"}]
            assert (json.adapter, chat.model) == ("JSONAdapter", "mock/mock")
            assert "Be brief." in chat.system
            assert [prompt.to_dict() for prompt in lm_journal.prompts] == snapshot
            lm_journal.clear()
            assert lm_journal.prompts == []
            ask()
            assert (len(lm_journal), lm_journal.prompts) == (1, [chat])
        """
    )

    pytester.runpytest_inprocess("--snapshot-update").assert_outcomes(passed=1)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_prompt_is_the_same_wherever_the_bridge_runs(pytester: pytest.Pytester) -> None:
    """In this process, in one of its own and in a pool, asked by whichever worker, session and scope."""
    pytester.makepyfile(
        """
        import json
        from pathlib import Path

        import pytest

        @pytest.mark.lm("openai/gpt-4o", responses={"default": "4"})
        @pytest.mark.parametrize("mode", ["inproc", "standalone", "pool"])
        def test_it(bridge_factory, lm_journal, mode):
            bridge = bridge_factory(mode)
            qa = bridge.create_program("question -> answer", instructions="Be brief.")
            qa(question="2+2"), qa.execute(question="3+1", session="alice")
            bridge.session("alice").cleanup()
            bridge.create_program("text -> words: list[str]", program_type="chain_of_thought", lm="mock")(text="a b")
            bridge.reset()
            prompts = lm_journal.prompts
            assert [prompt.model for prompt in prompts] == ["openai/gpt-4o", "openai/gpt-4o", "mock/mock"]
            assert (prompts[0].instructions, prompts[0].inputs) == ("Be brief.", {"question": "2+2"})
            assert "[[ ## question ## ]]\\n2+2" in prompts[0].messages[1]["content"]
            assert [call.prompt for call in lm_journal.calls] == prompts
            Path(mode).write_text(json.dumps([prompt.to_dict() for prompt in prompts]), encoding="utf-8")
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=3)

    texts = {(pytester.path / mode).read_text(encoding="utf-8") for mode in ("inproc", "standalone", "pool")}
    assert len(texts) == 1


def test_ids_and_media_are_left_out_and_tools_are_told(pytester: pytest.Pytester) -> None:
    """What differs from run to run is no part of a prompt; what a provider is told of tools is."""
    pytester.makepyfile(
        """
        import dspy
        import pytest
        from dspex_testkit import MockLM
        from dspex_testkit.mock_lm import Capabilities

        class Ask(dspy.Signature):
            "Answer."
            picture: dspy.Image = dspy.InputField()
            history: dspy.History = dspy.InputField()
            tools: list[dspy.Tool] = dspy.InputField()
            calls: dspy.ToolCalls = dspy.OutputField()

        def weather(city: str) -> str:
            "Tell the weather."
            return "sunny"

        def test_it(lm_journal):
            lm = MockLM(capabilities=Capabilities(function_calling=True))
            with dspy.context(lm=lm, adapter=dspy.ChatAdapter(use_native_function_calling=True)):
                dspy.Predict(Ask)(
                    picture=dspy.Image("data:image/png;base64,iVBORw0KGgo="),
                    history=dspy.History(messages=[]),
                    tools=[dspy.Tool(weather)],
                )
            prompt, = lm_journal.prompts
            (tool,) = prompt.tools
            assert (tool["name"], tool["description"]) == ("weather", "Tell the weather.")
            assert "city" in tool["parameters"]["properties"]
            assert {"type": "image"} in prompt.messages[-1]["content"]
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_addresses_of_objects_are_left_out(pytester: pytest.Pytester) -> None:
    """An object without a text of its own shows where it lies, elsewhere in every run."""
    pytester.makepyfile(
        """
        import dspy

        class Thing:
            pass

        class Name(dspy.Signature):
            thing: object = dspy.InputField()
            name: str = dspy.OutputField()

        def test_it(dspy_lm, lm_journal):
            dspy.Predict(Name)(thing=Thing())
            (prompt,) = lm_journal.prompts
            assert prompt.inputs["thing"].endswith(".Thing object at 0x…>")
            assert "Thing object at 0x…>" in prompt.messages[-1]["content"]
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_bridge_keeps_prompts_only_as_it_is_told(pytester: pytest.Pytester) -> None:
    """A test may leave them out, and one that asks for no journal is not sent any."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.bridge(journal_prompts=False)
        def test_none(bridge, lm_journal):
            bridge.create_program("question -> answer", lm="mock")(question="1")
            assert (lm_journal.prompts, len(lm_journal)) == ([], 1)

        def test_not_asked_for(bridge):
            bridge.create_program("question -> answer", lm="mock")(question="1")
            assert "prompt" not in bridge.call("get_journal")["calls"][0]
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=all").assert_outcomes(passed=6)
