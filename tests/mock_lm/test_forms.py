"""The forms in which an answer can be written, wherever answers are written."""

import asyncio
from decimal import Decimal
from typing import Any

import dspy
import pytest

from dspex_testkit.errors import AnswerError, InvalidMockSpecError, NoMatchingRuleError, ScriptExhaustedError
from dspex_testkit.mock_lm import Answer, Capabilities, DummyLM, MockCall, MockLM


def _ask(lm: MockLM, signature: Any = "question -> answer", *, demos: Any = (), **inputs: Any) -> Any:
    predict = dspy.Predict(signature)
    predict.demos = list(demos)
    with dspy.context(lm=lm):
        return predict(**(inputs or {"question": "q"}))


def _always(answer: Any, **options: Any) -> MockLM:
    return MockLM.deterministic({"default": answer}, **options)


def test_a_raw_completion_arrives_as_it_is() -> None:
    """Whether it parses is the program's problem: here the JSON fallback saves it."""
    lm = _always({"$completion": '{"answer": "repaired"}'})
    assert _ask(lm).answer == "repaired"
    assert [call.completion for call in lm.journal] == ['{"answer": "repaired"}'] * 2


def test_a_template_is_filled_from_the_inputs() -> None:
    """Double braces stand for braces; fields may have templates of their own."""
    assert _ask(_always({"$template": "Hello {name}, {{x}}"}), "name -> answer", name="Ada").answer == "Hello Ada, {x}"
    both = _always({"$template": {"answer": "{name}!", "tag": "{{{name}}}"}})
    prediction = _ask(both, "name -> answer, tag", name="Ada")
    assert (prediction.answer, prediction.tag) == ("Ada!", "{Ada}")


def test_a_template_that_names_no_input_is_refused() -> None:
    """With the nearest input."""
    with pytest.raises(AnswerError, match=r"'nam'.*did you mean 'name'"):
        _ask(_always({"$template": "Hello {nam}"}), "name -> answer", name="Ada")


def test_lists_are_cycled_or_exhausted() -> None:
    """Each list has a position of its own."""
    lm = MockLM.deterministic(
        {"a": {"$cycle": ["1", "2"]}, "b": {"$list": ["x"]}, "c": {"$list": ["y", "z"], "$on_exhausted": "last"}}
    )
    assert [_ask(lm, question="a").answer for _ in range(3)] == ["1", "2", "1"]
    assert [_ask(lm, question="c").answer for _ in range(3)] == ["y", "z", "z"]
    assert _ask(lm, question="b").answer == "x"
    with pytest.raises(ScriptExhaustedError, match=r"responses\['b'\] has 1 answers"):
        _ask(lm, question="b")


def test_demos_are_followed() -> None:
    """The last demo with the same inputs; none is an error where nothing else answers."""
    demos = [dspy.Example(question="q", answer="old"), dspy.Example(question="q", answer="new")]
    assert _ask(_always({"$follow_demos": True}), demos=demos).answer == "new"
    with pytest.raises(NoMatchingRuleError, match="none of the 2"):
        _ask(_always({"$follow_demos": True}), demos=demos, question="other")
    lm = _always("default", follow_demos=True)
    assert (_ask(lm, demos=demos).answer, _ask(lm, demos=demos, question="x").answer) == ("new", "default")


@pytest.mark.parametrize("native", [False, True])
def test_reasoning_goes_where_reasoning_belongs(native: bool) -> None:
    """To the field, or natively where the LM can."""
    lm = _always({"answer": "a", "$reasoning": "because"}, capabilities=Capabilities(reasoning=native))
    with dspy.context(lm=lm):
        typed = dspy.ChainOfThought("question -> answer", rationale_field_type=dspy.Reasoning)(question="q")
        plain = dspy.ChainOfThought("question -> answer")(question="q")
    assert (typed.reasoning, plain.reasoning) == ("because", "because")
    assert ("because" in str(lm.journal[0].completion)) is not native


@pytest.mark.parametrize("native", [False, True])
def test_tools_are_called_as_told(native: bool) -> None:
    """In text or natively, through any signature with tool calls."""

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    class Use(dspy.Signature):  # type: ignore[misc]
        """Use tools."""

        question: str = dspy.InputField()
        tools: list[dspy.Tool] = dspy.InputField()
        calls: dspy.ToolCalls = dspy.OutputField()

    lm = _always(
        {"$tool_calls": {"name": "add", "args": {"a": 1, "b": 2}}}, capabilities=Capabilities(function_calling=native)
    )
    with dspy.context(adapter=dspy.ChatAdapter(use_native_function_calling=native)):
        calls = _ask(lm, Use, question="q", tools=[dspy.Tool(add)]).calls
    assert [(call.name, call.args) for call in calls.tool_calls] == [("add", {"a": 1, "b": 2})]
    assert lm.journal[0].finish_reason == ("tool_call" if native else "stop")


def test_tools_for_a_signature_without_tools_are_refused() -> None:
    """The message names what the signature asks for."""
    with pytest.raises(AnswerError, match=r"calls 1 tools.*asks for none"):
        _ask(_always({"$tool_calls": [{"name": "add"}]}))


def test_usage_cost_and_finish_reason_can_be_given() -> None:
    """What is not given stays estimated."""
    lm = _always(
        {
            "answer": "x",
            "$usage": {"output_tokens": 7, "cached_tokens": 3},
            "$cost": "0.0125",
            "$finish_reason": "length",
        }
    )
    _ask(lm)
    call = lm.journal[0]
    assert (call.usage.output_tokens, call.usage.cached_tokens, call.finish_reason) == (7, 3, "length")
    assert call.cost == Decimal("0.0125")
    assert call.usage.input_tokens is not None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"$cost": "NaN"}, "US dollars"),
        ({"$cost": -1}, "US dollars"),
        ({"$latency_ms": "soon"}, "number of milliseconds"),
        ({"$latency_ms": float("inf")}, "number of milliseconds"),
        ({"$on_exhausted": "last"}, r"\$list"),
    ],
)
def test_a_mark_that_can_never_work_is_refused_when_the_mock_is_made(wrong: dict[str, Any], message: str) -> None:
    """Not by the first call that happens to meet it."""
    with pytest.raises(InvalidMockSpecError, match=message):
        _always({"$value": "x", **wrong})


def test_a_plain_value_may_stand_beside_marks() -> None:
    """`$value` is the value that a text alone would be."""
    lm = _always({"$value": 7, "$reasoning": "counted"})
    assert _ask(lm, "question -> n: int").n == 7


def test_an_answer_object_says_the_same_from_python() -> None:
    """Tables, scripts and functions take it."""
    assert _ask(MockLM.scripted([Answer(value="x")])).answer == "x"
    assert _ask(MockLM.function(lambda call: Answer(fields={"answer": "y"}))).answer == "y"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_function_sees_the_call(asynchronous: bool) -> None:
    """Signature, inputs, demos, messages, model and parameters; sync or async, in either kind of call."""
    seen: list[MockCall] = []

    def answer(call: MockCall) -> Any:
        seen.append(call)
        return {"answer": f"{call.inputs['question']} by {call.model}"}

    async def later(call: MockCall) -> Any:
        await asyncio.sleep(0)
        return answer(call)

    predict = dspy.Predict("question -> answer", temperature=0.3)
    predict.demos = [dspy.Example(question="d", answer="e")]
    for function in (answer, later):
        with dspy.context(lm=MockLM.function(function, model="m")):
            prediction = asyncio.run(predict.acall(question="q")) if asynchronous else predict(question="q")
        assert prediction.answer == "q by m"
    call = seen[0]
    assert call.signature_name == "StringSignature"
    assert call.params["temperature"] == 0.3
    assert [message["role"] for message in call.messages] == ["system", "user", "assistant", "user"]
    assert len(call.demos) == 1


def test_an_async_function_runs_under_a_running_loop() -> None:
    """A sync call made inside a coroutine waits for the function in a thread."""

    async def answer(call: MockCall) -> str:
        await asyncio.sleep(0)
        return "awaited"

    async def main() -> str:
        return str(_ask(MockLM.function(answer)).answer)

    assert asyncio.run(main()) == "awaited"


def test_an_error_of_a_function_reaches_the_program() -> None:
    """As DSPy's error for what it does not expect, with the cause."""

    def broken(call: MockCall) -> str:
        raise KeyError("oops")

    with pytest.raises(dspy.LMError) as caught:
        _ask(MockLM.function(broken))
    assert isinstance(caught.value.__cause__, KeyError)


def test_dummy_lms_list_answers_in_order() -> None:
    """The first form; an end of the list is an error here."""
    lm = DummyLM([{"answer": "red"}, {"answer": "blue"}])
    assert [_ask(lm).answer, _ask(lm).answer] == ["red", "blue"]
    with pytest.raises(ScriptExhaustedError):
        _ask(lm)


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter])
def test_dummy_lms_dict_answers_by_the_text_of_the_message(adapter: Any) -> None:
    """The second form: the first key that the message contains, under every adapter."""
    lm = DummyLM({"sky": {"answer": "blue"}, "color": {"answer": "red"}})
    with dspy.context(adapter=adapter()):
        assert _ask(lm, question="What color is the sky?").answer == "blue"
        assert _ask(lm, question="What color is blood?").answer == "red"


def test_dummy_lm_follows_examples() -> None:
    """The third form."""
    lm = DummyLM([{"answer": "red"}], follow_examples=True, reasoning=True)
    assert _ask(lm, demos=[dspy.Example(question="q", answer="blue")]).answer == "blue"
    assert _ask(lm, question="other").answer == "red"
