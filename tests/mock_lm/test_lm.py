"""A MockLM lives the life of a dspy.LM: copied, saved, loaded, impersonating, failing."""

import asyncio
import copy
import json
import pickle
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex_testkit.calls import CALLER_SETTING, Caller, Journal, Scope
from dspex_testkit.errors import NoMatchingRuleError
from dspex_testkit.mock_lm import Capabilities, MockLM, find_mock_error


def _ask(lm: Any, question: str = "q") -> str:
    with dspy.context(lm=lm):
        return str(dspy.Predict("question -> answer")(question=question).answer)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda lm: lm.copy(temperature=1.0)])
def test_a_copy_shares_journal_and_script(duplicate: Any) -> None:
    """Optimizers copy programs; what they ask is still seen."""
    lm = MockLM.scripted(["a", "b"])
    twin = duplicate(lm)
    assert (_ask(lm), _ask(twin)) == ("a", "b")
    assert twin.journal is lm.journal
    assert len(lm.journal) == 2


def test_a_pickled_mock_begins_anew() -> None:
    """Another process has a journal and a script position of its own."""
    lm = MockLM.scripted(["a", "b"], provider="openai", model="gpt-5", capabilities=Capabilities(reasoning=True))
    _ask(lm)
    twin = pickle.loads(pickle.dumps(lm))
    assert _ask(twin) == "a"
    assert (twin.model, twin.supports_reasoning) == ("openai/gpt-5", True)
    assert len(twin.journal) == 1


def test_a_saved_program_loads_its_mock(tmp_path: Path) -> None:
    """`save` and `load` keep spec, identity, parameters and capabilities."""
    program = dspy.Predict("question -> answer")
    program.set_lm(
        MockLM.deterministic(
            {"q": "saved"},
            provider="openai",
            model="gpt-5",
            params={"temperature": 0.2},
            capabilities=Capabilities(function_calling=True, params=frozenset({"response_format"})),
        )
    )
    program.save(tmp_path / "program.json")
    loaded = dspy.Predict("question -> answer")
    loaded.load(tmp_path / "program.json", allow_unsafe_lm_state=True)
    assert loaded(question="q").answer == "saved"
    assert isinstance(loaded.lm, MockLM)
    assert (loaded.lm.model, loaded.lm.kwargs["temperature"]) == ("openai/gpt-5", 0.2)
    assert loaded.lm.supports_function_calling
    assert loaded.lm.supported_params == {"response_format"}


@pytest.mark.parametrize("model", ["gpt-5", "o1", "o3-mini", "claude-3", "gemini-1.5-flash"])
def test_any_model_can_be_impersonated_with_any_parameters(model: str) -> None:
    """What DSPy would refuse of a real model does not stop its mock; keys are not kept."""
    lm = MockLM(provider="openai", model=model, params={"temperature": 0.7, "max_tokens": 10, "api_key": "sk-secret"})
    assert _ask(lm).startswith("mock_answer_")
    assert "sk-secret" not in repr(vars(lm)) + repr(lm.dump_state())
    assert (lm.journal[0].provider, lm.journal[0].model) == ("openai", model)


def test_nothing_is_served_from_the_cache() -> None:
    """Equal requests each reach the mock."""
    lm = MockLM.scripted(["a", "b"])
    assert [_ask(lm), _ask(lm)] == ["a", "b"]


def test_calls_of_a_bridge_go_to_its_journal() -> None:
    """Who asked comes from DSPy's settings and travels with the call."""
    journal = Journal()
    caller = Caller(journal, scope=Scope.SESSION, program_id="p", session_id="s", worker_id="w", lm_id="l")
    lm = MockLM()
    with dspy.context(**{CALLER_SETTING: caller}):
        _ask(lm)
    (call,) = journal
    assert (call.scope, call.program_id, call.session_id, call.worker_id, call.lm_id) == (
        Scope.SESSION,
        "p",
        "s",
        "w",
        "l",
    )
    assert len(lm.journal) == 0


def test_a_given_journal_is_used() -> None:
    """Also one that is still empty; it bounds what is kept."""
    journal = Journal(max_calls=2)
    lm = MockLM(journal=journal)
    for question in "abc":
        _ask(lm, question)
    assert lm.journal is journal
    assert [call.seq for call in journal] == [2, 3]


def test_the_journal_tells_what_was_asked_and_answered() -> None:
    """Inputs, outputs, completion, rule and usage of one call."""
    lm = MockLM.deterministic({"q": "Paris"})
    _ask(lm)
    call = lm.journal[0]
    assert (dict(call.inputs), call.outputs) == ({"question": "q"}, {"answer": "Paris"})
    assert call.completion == "[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]\n"
    assert (call.engine, call.finish_reason, call.error) == ("deterministic", "stop", None)
    assert call.usage.output_tokens == -(-len(call.completion) // 4)
    assert call.usage.input_tokens is not None
    assert call.usage.input_tokens > 50


def test_prompts_are_kept_on_demand() -> None:
    """Roles and texts as the model would see them, what they were made of, and what the answer was made of."""
    lm = MockLM(journal=Journal(keep_prompts=True), capabilities=Capabilities(reasoning=True))
    with dspy.context(lm=lm):
        dspy.ChainOfThought("question -> answer", rationale_field_type=dspy.Reasoning)(question="q")
    call = lm.journal[0]
    assert call.prompt is not None
    assert (call.prompt.signature, call.prompt.adapter) == ("question -> reasoning, answer", "ChatAdapter")
    assert [message["role"] for message in call.prompt.messages] == ["system", "user"]
    assert "[[ ## question ## ]]\nq" in call.prompt.messages[1]["content"]
    assert call.parts == ("thinking", "text")
    assert json.loads(json.dumps(call.to_dict()))["parts"] == ["thinking", "text"]
    plain = MockLM()
    _ask(plain)
    assert plain.journal[0].prompt is None


def test_the_journal_comes_out_as_json_lines() -> None:
    """One line a call, whatever was asked."""
    lm = MockLM.deterministic({"default": 2**70}, prices={"input": 1, "output": 1})
    with dspy.context(lm=lm):
        dspy.Predict("question, image: dspy.Image -> n: int")(
            question="é", image=dspy.Image("data:image/png;base64,AA==")
        )
        _ask(lm, "second")
    first, second = (json.loads(line) for line in lm.journal.json_lines())
    assert (first["outputs"]["n"], first["inputs"]["question"]) == (2**70, "é")
    assert [json.loads(line)["seq"] for line in lm.journal.json_lines(since=first["seq"])] == [second["seq"]]


def test_usage_reaches_dspy_too() -> None:
    """DSPy's own tracker sees the estimate."""
    lm = MockLM()
    with dspy.context(lm=lm), dspy.track_usage() as tracker:
        dspy.Predict("question -> answer")(question="q")
    usage = tracker.get_total_tokens()["mock/mock"]
    assert usage["prompt_tokens"] == lm.journal[0].usage.input_tokens


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_mocks_failure_keeps_class_message_and_code(asynchronous: bool) -> None:
    """It can be caught as the mock's error and as DSPy's."""
    lm = MockLM.deterministic({"known": "x"})
    predict = dspy.Predict("question -> answer")
    with dspy.context(lm=lm), pytest.raises(NoMatchingRuleError) as caught:
        asyncio.run(predict.acall(question="unknown")) if asynchronous else predict(question="unknown")
    error: Any = caught.value
    assert isinstance(error, dspy.LMError)
    assert error.code == "no_matching_rule"
    assert str(error) == error.message
    assert find_mock_error(error) is caught.value
    again: Any = pickle.loads(pickle.dumps(error))
    assert (again.message, again.details, again.code) == (error.message, error.details, error.code)


def test_a_failure_is_found_behind_what_wraps_it() -> None:
    """Causes, contexts and groups are looked through."""
    inner = NoMatchingRuleError("inner")
    outer = RuntimeError("outer")
    outer.__cause__ = inner
    assert find_mock_error(outer) is inner
    assert find_mock_error(ExceptionGroup("group", [ValueError("x"), outer])) is inner
    assert find_mock_error(ValueError("x")) is None
    assert find_mock_error(None) is None
