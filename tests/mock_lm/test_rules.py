"""Rules: when each applies, which one wins, and what the refusals say."""

import asyncio
from typing import Any

import dspy
import pytest

from dspex_testkit.calls import CALLER_SETTING, Caller
from dspex_testkit.errors import AmbiguousRulesError, InvalidMockSpecError, NoMatchingRuleError
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.mock_lm.rule import Rule


def _lm(*rules: dict[str, Any], **options: Any) -> MockLM:
    return MockLM.deterministic(rules=rules, default="default", **options)


def _ask(lm: MockLM, question: str = "q", signature: Any = "question -> answer", **settings: Any) -> str:
    with dspy.context(lm=lm, **settings):
        return str(dspy.Predict(signature)(question=question).answer)


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        ("Paris", "Paris", "Paris?"),
        ({"equals": "Paris"}, "Paris", "paris"),
        ({"in": ["a", "b"]}, "b", "c"),
        ({"contains": "capital"}, "the capital of", "the city of"),
        ({"regex": "^[0-9]+$"}, "42", "42?"),
        (lambda value: value.endswith("!"), "now!", "now"),
    ],
)
def test_an_input_is_matched_by_value_pattern_or_predicate(condition: Any, matching: str, other: str) -> None:
    """One condition per input field, in any of its forms."""
    lm = _lm({"when": {"inputs": {"question": condition}}, "answer": "rule"})
    assert (_ask(lm, matching), _ask(lm, other)) == ("rule", "default")


def test_values_of_any_type_are_matched() -> None:
    """Numbers, lists and objects equal their JSON."""
    lm = _lm({"when": {"inputs": {"items": [1, 2]}}, "answer": "rule"})
    with dspy.context(lm=lm):
        predict = dspy.Predict("items: list[int] -> answer")
        assert [predict(items=items).answer for items in ([1, 2], [2, 1])] == ["rule", "default"]


def test_the_signatures_name_is_matched() -> None:
    """Two signatures of one program get answers of their own."""
    summary = dspy.Signature("question -> answer").with_instructions("Summarize.")
    summary.__name__ = "Summary"
    lm = _lm({"when": {"signature": "Summary"}, "answer": "rule"})
    assert (_ask(lm, signature=summary), _ask(lm)) == ("rule", "default")


def test_program_and_session_of_a_bridge_are_matched() -> None:
    """Who asks comes from the bridge's caller."""
    lm = _lm(
        {"when": {"program": "p1"}, "answer": "program"},
        {"when": {"program": "p2", "session": {"regex": "^s"}}, "answer": "session"},
    )

    def ask(program: str, session: str | None) -> str:
        caller = Caller(journal=lm.journal, program_id=program, session_id=session)
        with dspy.context(**{CALLER_SETTING: caller}):
            return _ask(lm)

    assert [ask("p1", None), ask("p2", "s9"), ask("p2", "t"), ask("p3", None)] == [
        "program",
        "session",
        "default",
        "default",
    ]


@pytest.mark.parametrize("model", ["gpt-4", "openai/gpt-4", {"contains": "gpt"}])
def test_the_model_is_matched_with_or_without_its_provider(model: Any) -> None:
    """One spec may serve several LMs."""
    rule = {"when": {"model": model}, "answer": "rule"}
    assert _ask(_lm(rule, provider="openai", model="gpt-4")) == "rule"
    assert _ask(_lm(rule, provider="anthropic", model="claude-3")) == "default"


@pytest.mark.parametrize("name", ["json", "JSONAdapter"])
def test_the_adapter_is_matched(name: str) -> None:
    """By its class or in short."""
    lm = _lm({"when": {"adapter": name}, "answer": "rule"})
    assert _ask(lm, adapter=dspy.JSONAdapter()) == "rule"
    assert _ask(lm) == "default"


def test_the_number_of_the_call_is_matched() -> None:
    """Counted from 1 over all calls of the mock."""
    lm = _lm({"when": {"call": 2}, "answer": "second"})
    assert [_ask(lm) for _ in range(3)] == ["default", "second", "default"]


def test_the_outputs_of_the_signature_are_matched() -> None:
    """A rule for whatever has a certain field."""
    lm = _lm({"when": {"outputs": ["mood"]}, "answer": {"mood": "good"}})
    with dspy.context(lm=lm):
        assert dspy.Predict("question -> answer, mood")(question="q").mood == "good"
    assert _ask(lm) == "default"


def test_turns_and_tool_results_of_an_agent_are_matched() -> None:
    """The first turn calls a tool, the turn after its result finishes."""
    asked: list[str] = []

    def weather(city: str) -> str:
        """Tell the weather."""
        asked.append(city)
        return f"sunny in {city}"

    step = {"signature": "StringSignature", "outputs": ["next_tool_name"]}
    lm = _lm(
        {"when": {**step, "turn": 1}, "answer": {"$tool_calls": [{"name": "weather", "args": {"city": "Rome"}}]}},
        {
            "when": {**step, "tool_results": {"contains": "sunny in Rome"}},
            "answer": {"next_tool_name": "finish", "next_tool_args": {}},
        },
    )
    with dspy.context(lm=lm):
        prediction = dspy.ReAct("question -> answer", tools=[weather])(question="q")
    assert asked == ["Rome"]
    assert prediction.trajectory["tool_name_1"] == "finish"
    assert prediction.answer == "default"


def test_the_more_specific_rule_wins_whatever_the_order() -> None:
    """More conditions beat fewer, exact ones beat patterns, longer patterns beat shorter."""
    rules: list[dict[str, Any]] = [
        {"when": {"inputs": {"question": {"contains": "a"}}}, "answer": "short"},
        {"when": {"inputs": {"question": {"contains": "abc"}}}, "answer": "long"},
        {"when": {"inputs": {"question": "abcd"}}, "answer": "exact"},
        {"when": {"inputs": {"question": "abcd"}, "adapter": "chat"}, "answer": "both"},
        {"answer": "always"},
    ]
    for ordered in (rules, rules[::-1]):
        lm = MockLM.deterministic(rules=ordered)
        assert [_ask(lm, q) for q in ("xa", "abcx", "z")] == ["short", "long", "always"]
        assert _ask(lm, "abcd") == "both"
        assert _ask(lm, "abcd", adapter=dspy.JSONAdapter()) == "exact"


def test_priority_beats_specificity() -> None:
    """The way out where specificity says the wrong thing."""
    lm = _lm({"when": {"inputs": {"question": "q"}}, "answer": "specific"}, {"answer": "urgent", "priority": 1})
    assert _ask(lm) == "urgent"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"adapter": "chat"}, {"model": "m"}),
        ({"inputs": {"question": "q"}}, {"inputs": {"question": {"equals": "q"}}}),
        ({"adapter": "chat", "model": "m"}, {"adapter": "chat", "session": "s"}),
        ({"inputs": {"question": {"contains": "ab"}}}, {"inputs": {"question": {"contains": "ab"}}}),
    ],
)
def test_rules_that_are_sure_to_collide_are_refused(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Neither would be more specific; the message names both."""
    rules = [{"name": "one", "when": one, "answer": "1"}, {"name": "two", "when": other, "answer": "2"}]
    with pytest.raises(InvalidMockSpecError, match=r"'one'.*'two'.*priority"):
        MockLM.deterministic(rules=rules)


def test_rules_for_different_values_do_not_collide() -> None:
    """Nor do rules that differ in a shared condition."""
    MockLM.deterministic(
        rules=[
            {"when": {"model": "a", "session": "s"}, "answer": "1"},
            {"when": {"model": "b", "program": "p"}, "answer": "2"},
            {"when": {"model": "b", "session": "s"}, "answer": "3", "priority": 1},
        ]
    )


def test_patterns_that_both_match_are_an_error_at_the_call() -> None:
    """Only the call can tell that they collide."""
    lm = _lm(
        {"name": "cats", "when": {"inputs": {"question": {"contains": "cat"}}}, "answer": "cat"},
        {"name": "dogs", "when": {"inputs": {"question": {"contains": "dog"}}}, "answer": "dog"},
    )
    assert (_ask(lm, "a cat"), _ask(lm, "a dog")) == ("cat", "dog")
    with pytest.raises(AmbiguousRulesError, match=r"'cats'.*'dogs'"):
        _ask(lm, "a cat and a dog")


def test_a_rule_answers_a_number_of_times_and_steps_aside() -> None:
    """Equal rules may follow one another."""
    lm = _lm({"answer": "first", "times": 2}, {"answer": "then", "times": 1})
    assert [_ask(lm) for _ in range(4)] == ["first", "first", "then", "default"]


def test_unused_rules_can_be_asked_for() -> None:
    """A test can insist that all it prepared was needed."""
    lm = _lm({"name": "a", "when": {"inputs": {"question": "q"}}, "answer": "x"}, {"when": {"call": 9}, "answer": "y"})
    _ask(lm)
    assert lm.unused_rules() == ["rules[1]"]
    assert lm.journal[0].rule == "a"


def test_a_miss_without_responses_says_what_was_asked() -> None:
    """Who asked, in which turn, and what to add."""
    lm = MockLM.deterministic(rules=[{"when": {"inputs": {"question": "x"}}, "answer": "y"}])
    with pytest.raises(NoMatchingRuleError, match=r"None of the 1 rules.*question='q'.*Add a rule"):
        _ask(lm)


def test_rules_come_before_every_other_kind_of_answer() -> None:
    """Scripts, functions, random and derived mocks may have rules too."""
    rule = {"when": {"inputs": {"question": "q"}}, "answer": "rule"}
    for lm in (
        MockLM.scripted(["base"], rules=[rule]),
        MockLM.function(lambda call: "base", rules=[rule]),
        MockLM.random(rules=[rule]),
        MockLM({"mode": "derived", "rules": [rule]}),
    ):
        assert _ask(lm) == "rule"
        assert _ask(lm, "other") != "rule"


def test_ten_thousand_rules_are_looked_up_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finds its own answer; none is tried in vain."""
    lm = MockLM.deterministic(
        rules=[{"when": {"inputs": {"question": f"q{i}"}}, "answer": f"a{i}"} for i in range(10_000)]
    )
    assert [_ask(lm, f"q{i}") for i in (0, 5_000, 9_999)] == ["a0", "a5000", "a9999"]
    tried: list[str] = []
    monkeypatch.setattr(Rule, "holds", lambda rule, *_: not tried.append(rule.name))  # type: ignore[func-returns-value]
    _ask(lm, "q7")
    assert tried == ["rules[7]"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"answer": "x", "wen": {}}, "unknown key 'rules.0.wen' (did you mean 'when'?)"),
        ({"answer": "x", "when": {"sesion": "s"}}, "unknown key 'rules.0.when.sesion' (did you mean 'session'?)"),
        ({"answer": "x", "when": {"model": {"contain": "s"}}}, "unknown operator 'contain' (did you mean 'contains'?)"),
        ({"answer": "x", "when": {"model": {"regex": "("}}}, "is no regular expression"),
        ({"answer": "x", "when": {"turn": 0}}, "greater than or equal to 1"),
        ({"answer": "x", "times": 0}, "greater than or equal to 1"),
        ({"when": {}}, "rules.0.answer: Field required"),
        ({"answer": {"$fualt": "x"}}, "unknown key '$fualt' (did you mean '$fault'?)"),
        ({"answer": {"$fault": "rate_limt"}}, "unknown fault 'rate_limt' (did you mean 'rate_limit'?)"),
        ({"answer": {"answer": "x", "$completion": "y"}}, "contradict each other"),
        ({"answer": {"$cycle": []}}, "at least one answer"),
        ({"answer": {"$tool_calls": ["x"]}}, "$tool_calls must be objects"),
        ({"answer": {"$usage": {"tokens": 1}}}, "unknown key 'tokens' in $usage"),
        ({"answer": {"$cost": "cheap"}}, "$cost must be US dollars"),
    ],
)
def test_a_rule_that_cannot_be_used_says_why(rule: dict[str, Any], message: str) -> None:
    """At construction, with the key and the nearest valid one."""
    with pytest.raises(InvalidMockSpecError) as caught:
        MockLM({"rules": [rule]})
    assert message in caught.value.message


def test_async_calls_meet_the_same_rules() -> None:
    """The same book answers both engines."""
    lm = _lm({"when": {"inputs": {"question": "q"}}, "answer": "rule"})
    with dspy.context(lm=lm):
        assert asyncio.run(dspy.Predict("question -> answer").acall(question="q")).answer == "rule"


def test_a_miss_says_which_condition_failed_and_on_what() -> None:
    """Of the rule that came nearest."""
    lm = MockLM.deterministic(
        rules=[
            {"name": "far", "when": {"signature": "Other", "inputs": {"question": "x"}}, "answer": "a"},
            {"name": "near", "when": {"signature": "StringSignature", "inputs": {"question": "y"}}, "answer": "b"},
        ]
    )
    with dspy.context(lm=lm), pytest.raises(NoMatchingRuleError) as caught:
        dspy.Predict("question -> answer")(question="z")
    assert "Nearest: 'near' did not hold: inputs.question equals 'y': it was 'z'." in caught.value.message
