"""Specs: what is accepted, and what the refusals say."""

import re
import subprocess
import sys
from typing import Any

import pytest

from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.mock_lm.spec import SPEC_KEYS, parse_mock_spec


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({}, "derived"),
        ({"provider": "mock", "responses": {"default": "x"}}, "deterministic"),
        ({"default": "x"}, "deterministic"),
        ({"script": ["a"]}, "scripted"),
        ({"answers": ["a"]}, "scripted"),
        ({"seed": 3}, "random"),
        ({"generator": "random"}, "random"),
        ({"response_generator": "random", "seed": "s"}, "random"),
        ({"mode": "random"}, "random"),
    ],
)
def test_the_keys_tell_the_mode(config: dict[str, Any], mode: str) -> None:
    """A mode need not be named."""
    assert parse_mock_spec(config).mode == mode


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"respones": {}}, "unknown key 'respones' (did you mean 'responses'?)"),
        ({"responses": ["x"]}, "responses: wanted an object"),
        ({"mode": "scripted"}, "needs a script"),
        ({"mode": "chaotic"}, "mode: Input should be 'deterministic'"),
        ({"seed": True}, "seed must be an integer or a text"),
        ({"mode": "random", "script": ["a"]}, "'script' belongs to mode 'scripted'"),
        ({"script": ["a"], "responses": {}}, "'responses' belongs to mode 'deterministic'"),
        ({"generator": "fancy"}, "the one there is is 'random'"),
        ({"default": "x", "responses": {"default": "y"}}, "'default' is given twice"),
        ({"script": ["a"], "answers": ["b"]}, "'answers' and 'script' mean the same"),
        ("mock", "not a text"),
    ],
)
def test_a_spec_that_cannot_be_used_says_why(config: Any, message: str) -> None:
    """The key, what is wrong with it, and what would be right."""
    with pytest.raises(InvalidMockSpecError) as caught:
        parse_mock_spec(config)
    assert message in caught.value.message


def test_a_parsed_spec_survives_json() -> None:
    """What is dumped reads back as the same spec."""
    spec = parse_mock_spec({"responses": {"q": "a", "n": 2**70}})
    assert parse_mock_spec(spec.model_dump(mode="json", exclude_none=True)) == spec
    assert {"responses", "script", "answers", "seed", "mode", "on_exhausted"} <= SPEC_KEYS


def test_reading_a_spec_does_not_import_dspy() -> None:
    """Configs are checked before anything heavy is loaded."""
    code = "import sys; import dspex_testkit.mock_lm.spec; sys.exit('dspy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"script": "one"}, "script: wanted a list, not a text"),
        ({"rules": {"answer": 1}}, "rules: wanted a list, not an object"),
        ({"responses": ["a"]}, "responses: wanted an object, not a list"),
        ({"null_rate": "often"}, "null_rate: wanted a number, not a text"),
        ({"follow_demos": 7}, "follow_demos: wanted true or false, not a number"),
    ],
)
def test_a_wrong_kind_of_value_is_told_in_plain_words(spec: dict[str, Any], message: str) -> None:
    """On one line."""
    with pytest.raises(InvalidMockSpecError, match=re.escape(message)) as caught:
        parse_mock_spec(spec)
    assert "\n" not in caught.value.message
