"""What the files below `fixtures/` say of LMs, mocks, signatures and faults is so; ExUnit reads the same ones."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridges import Client
from tests.support.fixture_files import ACROSS_THE_WIRE, FIXTURES, KINDS, samples

FAULTS, LM_CONFIGS = samples("faults"), samples("lm_configs")
MOCK_SPECS, SIGNATURES = samples("mock_specs"), samples("signatures")
HOME = Path(__file__).parents[2]


def heard(bridge: Client, inputs: dict[str, Any]) -> Any:
    """The one answer of the program `qa`, all outputs where there are several, or the failure in its own words."""
    response = bridge.ask("execute_program", {"program_id": "qa", "inputs": inputs})
    if not response.success:
        return {"error": response.message}
    outputs = response.result["outputs"]
    return outputs["answer"] if outputs.keys() == {"answer"} else outputs


def as_expected(found: Any, expected: Any) -> bool:
    """Whether it is what a sample says; a pattern stands for what is drawn, and for the words of an error."""
    if not isinstance(expected, dict) or not expected.keys() & {"regex", "error"}:
        return bool(found == expected)
    if "error" in expected:
        return isinstance(found, dict) and re.search(expected["error"], found.get("error", ""), re.DOTALL) is not None
    return isinstance(found, str) and re.search(expected["regex"], found) is not None


@pytest.mark.parametrize("name", MOCK_SPECS)
def test_a_mock_answers_as_its_sample_says(bridge: Client, name: str) -> None:
    """Question by question, in their order."""
    sample = MOCK_SPECS[name]
    bridge.call("create_program", {"id": "qa", "signature": "question -> answer"})
    assert "warnings" not in bridge.call("configure_lm", sample["config"])

    for question, expected in zip(sample["questions"], sample["answers"], strict=True):
        found = heard(bridge, {"question": question})
        assert as_expected(found, expected), (question, found, expected)


@pytest.mark.parametrize("name", LM_CONFIGS)
def test_an_lm_config_names_the_lm_of_its_sample(bridge: Client, name: str) -> None:
    """Provider, model and parameters, from every way of writing them."""
    sample = LM_CONFIGS[name]

    assert "warnings" not in bridge.call("configure_lm", sample["config"])

    lm = bridge.call("get_lm")["lm"]
    assert {key: lm[key] for key in sample["lm"]} == sample["lm"]


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature_takes_the_inputs_and_gives_the_outputs_of_its_sample(bridge: Client, name: str) -> None:
    """By the names that the client gave them, as values of their types."""
    sample = SIGNATURES[name]
    bridge.call("configure_lm", {"provider": "mock", "responses": {"default": sample["outputs"]}})

    created = bridge.call("create_program", {"id": "qa", "signature": sample["signature"]})

    assert (created["signature_class"], created["fallback_used"]) == (sample["signature_class"], False)
    assert heard(bridge, sample["inputs"]) == sample["outputs"]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_strikes_as_its_sample_says(bridge: Client, name: str) -> None:
    """Call by call; the journal names it where it struck."""
    sample = FAULTS[name]
    lm = {"provider": "mock", "responses": {"default": "fine"}, "faults": [sample["fault"]]}
    bridge.call("create_program", {"id": "qa", "signature": "question -> answer"})
    bridge.call("configure_lm", lm)

    for expected in sample["heard"]:
        found = heard(bridge, {"question": "?"})
        assert as_expected(found, expected), (found, expected)
    struck = {call["fault"] for call in bridge.call("get_journal")["calls"]}
    assert struck == {sample["fault"]["kind"], None}


def test_no_fixture_is_a_stray() -> None:
    """Every file is a sample of a kind that tests read, those that cross the wire in both languages."""
    strays = [
        str(path.relative_to(FIXTURES))
        for path in sorted(FIXTURES.rglob("*"))
        if path.is_file()
        and (path.parent.parent != FIXTURES or path.parent.name not in KINDS or path.suffix != ".json")
    ]
    assert strays == []
    python = "".join(path.read_text("utf-8") for path in (HOME / "tests").rglob("test_*.py"))
    elixir = "".join(path.read_text("utf-8") for path in (HOME / "elixir" / "test").rglob("*_test.exs"))
    assert [kind for kind in KINDS if f'samples("{kind}")' not in python] == []
    assert [kind for kind in ACROSS_THE_WIRE if f'samples("{kind}")' not in elixir] == []
