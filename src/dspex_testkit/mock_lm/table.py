"""A table of canned answers: by the value of an input, by all inputs together, or by default."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import dspy

from dspex_testkit.engines.values import canonical_json, to_json, to_json_mapping
from dspex_testkit.errors import NoMatchingRuleError
from dspex_testkit.mock_lm.forms import AnswerForm
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.reading_forms import read_form
from dspex_testkit.nearest import most_similar

DEFAULT_KEY = "default"


class Table:
    """Answers from a `responses` map.

    The key with all inputs as JSON is the more specific one and wins over the value of a single input; among single
    inputs the first in the signature's order wins. Without a signature a key may also stand anywhere in the prompt.
    """

    def __init__(self, responses: Mapping[str, Any]) -> None:
        self._answers = {
            key: read_form(value, DEFAULT_KEY if key == DEFAULT_KEY else f"responses[{key!r}]")
            for key, value in responses.items()
        }
        # Keys written as JSON match whatever their spacing and order of names.
        self._whole = {_canonical_key(key): key for key in responses if key.startswith("{")}

    def find(self, call: MockCall) -> AnswerForm | None:
        """The answer for a call, if a key matches or there is a default."""
        inputs = call.inputs
        if self._whole:
            key = self._whole.get(canonical_json(inputs))
            if key is not None:
                return self._answers[key]
        for value in _values(call):
            found = self._answers.get(value)
            if found is not None and value != DEFAULT_KEY:
                return found
        key = self._within(call.prompt) if call.capture is None else None
        return self._answers.get(DEFAULT_KEY if key is None else key)

    def _within(self, prompt: str) -> str | None:
        """The longest key that stands in a prompt: without a signature, the question is somewhere in the text."""
        return max((key for key in self._answers if key != DEFAULT_KEY and key in prompt), key=len, default=None)

    def miss(self, call: MockCall) -> NoMatchingRuleError:
        """What to raise where nothing else answers either."""
        known = self._answers
        if not known:
            return NoMatchingRuleError(
                f"This mock was given no answers, so it must not be asked, and was: {call.describe()}.",
                details={"signature": call.signature_name, "inputs": to_json_mapping(call.inputs), "nearest": []},
            )
        asked = next((value for value in call.inputs.values() if isinstance(value, str)), canonical_json(call.inputs))
        near = most_similar(asked, known)
        return NoMatchingRuleError(
            f"No key of this mock's responses matches {call.describe()}, and there is no 'default'. "
            f"Nearest of {len(known)} keys: {', '.join(map(repr, near)) or 'none'}. "
            f"Write responses={{{asked!r}: …}} or add a 'default'.",
            details={
                "signature": call.signature_name,
                "inputs": to_json_mapping(call.inputs),
                "nearest": near,
            },
        )


def _values(call: MockCall) -> Iterator[str]:
    """The inputs as keys of a table would spell them."""
    return _spellings(call.visible_inputs)


def _spellings(inputs: Mapping[str, Any]) -> Iterator[str]:
    for value in inputs.values():
        if isinstance(value, str):
            yield value
        elif not isinstance(value, dspy.History):
            yield json.dumps(to_json(value), ensure_ascii=False)


def _canonical_key(key: str) -> str:
    try:
        return canonical_json(json.loads(key))
    except ValueError:
        return key
