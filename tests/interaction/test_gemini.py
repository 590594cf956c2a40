"""The contract's Gemini commands, answered offline."""

from typing import Any

import pytest

from tests.support.bridges import Client, Transport


def signature(inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    """A signature as DSPex's Gemini tests write it."""
    return {
        "inputs": [{"name": name, "description": name} for name in inputs],
        "outputs": [{"name": name, "description": name} for name in outputs],
    }


def run(bridge: Client, inputs: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
    """Create a Gemini program for these fields and run it."""
    bridge.call("create_gemini_program", {"id": "g", "signature": signature(list(inputs), outputs)})
    return bridge.call("execute_gemini_program", {"program_id": "g", "inputs": inputs})


def test_a_gemini_program_names_its_model(bridge: Client) -> None:
    """The result has the keys that DSPex's tests read."""
    created = bridge.call("create_gemini_program", {"id": "g", "signature": signature(["q"], ["a"])})

    assert (created["program_id"], created["status"], created["type"]) == ("g", "created", "gemini")
    assert created["model_name"] == "gemini-1.5-flash"


def test_arithmetic_is_answered(bridge: Client) -> None:
    """DSPex asks for 2+2 and looks for a 4."""
    result = run(bridge, {"question": "What is 2+2?"}, ["answer"])

    assert "4" in result["outputs"]["answer"]
    assert result["raw_response"] == result["outputs"]["answer"]
    assert (result["lm"]["provider"], result["lm"]["model"]) == ("google", "gemini-1.5-flash")


def test_moods_are_recognised(bridge: Client) -> None:
    """A text full of love is positive, for a program with two outputs."""
    text = "I love this fantastic library!"

    result = run(bridge, {"text": text}, ["summary", "sentiment"])

    assert "positive" in result["outputs"]["sentiment"].lower()
    assert result["outputs"]["summary"]
    assert "sentiment: " in result["raw_response"]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What is the capital of Japan?", ("tokyo", "japan")),
        ("Write a function in Elixir that adds two numbers", ("def", "elixir", "+")),
    ],
)
def test_the_demo_s_questions_are_answered(bridge: Client, question: str, words: tuple[str, ...]) -> None:
    """What DSPex's full demo prints a check for."""
    answer = run(bridge, {"question": question}, ["answer"])["outputs"]["answer"].lower()

    assert any(word in answer for word in words)


def test_any_other_question_gets_a_derived_answer(bridge: Client) -> None:
    """A question that no rule knows is answered all the same, with the field's name in it."""
    assert "answer" in run(bridge, {"question": "Who are you?"}, ["answer"])["outputs"]["answer"]


def test_gemini_programs_live_in_the_same_registry(bridge: Client) -> None:
    """List, execute and delete see them; an ordinary program is no Gemini program."""
    run(bridge, {"question": "2+2"}, ["answer"])
    bridge.call("create_program", {"id": "p", "signature": "question -> answer"})

    assert [entry["type"] for entry in bridge.call("list_programs")["programs"]] == ["gemini", "dspy"]
    assert bridge.call("execute_program", {"program_id": "g", "inputs": {"question": "2+2"}})["answer"]
    wrong = bridge.ask("execute_gemini_program", {"program_id": "p", "inputs": {"question": "x"}})
    assert wrong.message == "Program p is not a Gemini program"
    bridge.call("delete_program", {"program_id": "g"})
    assert "not found" in str(bridge.ask("execute_gemini_program", {"program_id": "g", "inputs": {}}).message)


def test_empty_fields_do_not_crash(bridge: Client) -> None:
    """DSPex's edge case: a signature without fields."""
    bridge.call("create_gemini_program", {"id": "g", "signature": {"inputs": [], "outputs": []}})

    assert bridge.ask("execute_gemini_program", {"program_id": "g", "inputs": {"question": "x"}}).success


def test_a_taken_id_is_refused_in_standalone_mode(bridge: Client, transport: Transport) -> None:
    """The text is the contract's."""
    bridge.call("create_gemini_program", {"id": "g", "signature": signature(["q"], ["a"])})

    response = bridge.ask("create_gemini_program", {"id": "g", "signature": signature(["q"], ["b"])})

    assert response.success is (transport == "pool-worker")
    if not response.success:
        assert str(response.message).startswith("Program with ID 'g' already exists")
