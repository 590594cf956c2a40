"""Arguments that a test gives to tools are checked as outputs are."""

from typing import Any

import dspy
import pytest

from dspex_testkit.errors import AnswerError
from dspex_testkit.mock_lm import Capabilities, MockLM


def search(query: str, limit: int = 3) -> str:
    """Search."""
    return f"{limit} x {query}"


def anything(**options: Any) -> str:
    """Take whatever is given."""
    return str(options)


BOUNDED = dspy.Tool(search, args={"query": {"type": "string"}, "limit": {"type": "integer", "maximum": 5}})
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "search", "args": {"qeury": "x"}}, "'qeury', which it does not have .did you mean 'query'"),
    ({"name": "search", "args": {"query": "x", "limit": "many"}}, "limit.*'many' is not of type 'integer'"),
    ({"name": "search", "args": {"query": "x", "limit": 9}}, "limit.*9 is greater than the maximum of 5"),
    ({"name": "search", "args": {}}, "'query' is a required property"),
]


@pytest.mark.parametrize(("tool", "message"), WRONG)
def test_react_refuses_arguments_that_its_tool_does_not_take(tool: dict[str, Any], message: str) -> None:
    """Written as fields or as `$tool_calls`; the tool would only have told the agent, and the test been green."""
    for step in ({"next_tool_name": tool["name"], "next_tool_args": tool["args"]}, {"$tool_calls": [tool]}):
        lm = MockLM.scripted([step])
        with dspy.context(lm=lm), pytest.raises(AnswerError, match=message):
            dspy.ReAct("question -> answer", tools=[BOUNDED])(question="q")


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(("tool", "message"), WRONG)
def test_tool_calls_refuse_arguments_that_the_tool_does_not_take(
    native: bool, tool: dict[str, Any], message: str
) -> None:
    """In text and natively."""
    signature = dspy.Signature(
        {
            "question": (str, dspy.InputField()),
            "tools": (list[dspy.Tool], dspy.InputField()),
            "calls": (dspy.ToolCalls, dspy.OutputField()),
        },
        "Call tools.",
    )
    lm = MockLM.deterministic(default={"$tool_calls": [tool]}, capabilities=Capabilities(function_calling=native))
    adapter = dspy.ChatAdapter(use_native_function_calling=native)
    with dspy.context(lm=lm, adapter=adapter), pytest.raises(AnswerError, match=message):
        dspy.Predict(signature)(question="q", tools=[BOUNDED])


@pytest.mark.parametrize(("tool", "message"), WRONG)
def test_a_direct_call_refuses_them_too(tool: dict[str, Any], message: str) -> None:
    """By the schema that the request carries."""
    lm = MockLM.deterministic(default={"$tool_calls": [tool]})
    with pytest.raises(AnswerError, match=message):
        lm("q", tools=[BOUNDED.format_as_litellm_function_call()])


def test_a_tool_that_is_not_offered_is_named_with_those_that_are() -> None:
    """And the nearest."""
    lm = MockLM.deterministic(default={"$tool_calls": [{"name": "serach", "args": {"query": "x"}}]})
    with pytest.raises(AnswerError, match=r"'serach', which is not offered .did you mean 'search'.*'search'"):
        lm("q", tools=[BOUNDED.format_as_litellm_function_call()])


def test_a_tool_of_any_arguments_takes_any() -> None:
    """It has said so."""
    lm = MockLM.scripted(
        [
            {"$tool_calls": [{"name": "anything", "args": {"a": 1, "b": "x"}}]},
            {"next_tool_name": "finish", "next_tool_args": {}},
            "done",
        ]
    )
    with dspy.context(lm=lm):
        prediction = dspy.ReAct("question -> answer", tools=[anything])(question="q")
    assert prediction.trajectory["observation_0"] == "{'a': 1, 'b': 'x'}"


def _reward(args: Any, prediction: Any) -> float:
    return float(prediction.answer == "second")


def test_dspys_own_signatures_take_what_they_have_of_an_answer() -> None:
    """`Refine` asks for feedback between tries, and hides that it got none."""
    lm = MockLM.deterministic(default={"answer": "first"})
    with dspy.context(lm=lm):
        dspy.Refine(dspy.Predict("question -> answer"), N=2, reward_fn=_reward, threshold=1.0)(question="q")
    feedback = [call for call in lm.journal if call.signature == "OfferFeedback"]
    assert feedback
    assert all(call.error is None for call in lm.journal)


def test_dspys_own_signatures_are_known_behind_a_chain_of_thought() -> None:
    """`SemanticF1` wraps its signature, which loses its name on the way."""
    lm = MockLM.deterministic(default={"answer": "x"})
    with dspy.context(lm=lm):
        score = dspy.evaluate.SemanticF1()(dspy.Example(question="q", response="a"), dspy.Prediction(response="b"))
    assert lm.journal[0].error is None
    assert score is not None


def test_a_users_signature_still_refuses_a_field_that_it_does_not_have() -> None:
    """Whatever its name."""
    lm = MockLM.deterministic(default={"answer": "x"})
    with dspy.context(lm=lm), pytest.raises(AnswerError, match="names 'answer'"):
        dspy.ChainOfThought("question -> reply, more")(question="q")
