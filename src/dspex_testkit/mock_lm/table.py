"""A table of canned answers: by the value of an input, by all inputs together, or by default."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import dspy

from dspex_testkit.errors import NoMatchingRuleError
from dspex_testkit.mock_lm.answers import Answer, answer_from
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.nearest import most_similar
from dspex_testkit.mock_lm.values import canonical_json, to_json, to_json_mapping

DEFAULT_KEY = "default"


class Table:
    """Answers from a `responses` map.

    The key with all inputs as JSON is the more specific one and wins over the value of a single input; among single
    inputs the first in the signature's order wins.
    """

    def __init__(self, responses: Mapping[str, Any]) -> None:
        self._default = DEFAULT_KEY in responses
        self._answers = {key: answer_from(value, f"responses[{key!r}]") for key, value in responses.items()}
        if self._default:
            self._answers[DEFAULT_KEY] = answer_from(responses[DEFAULT_KEY], DEFAULT_KEY)
        # Keys written as JSON match whatever their spacing and order of names.
        self._whole = {_canonical_key(key): key for key in responses if key.startswith("{")}

    def answer(self, call: MockCall) -> Answer:
        """The answer for a call.

        Raises:
            NoMatchingRuleError: No key matches and there is no default.
        """
        inputs = call.inputs
        if self._whole:
            key = self._whole.get(canonical_json(inputs))
            if key is not None:
                return self._answers[key]
        for value in _values(call):
            found = self._answers.get(value)
            if found is not None and value != DEFAULT_KEY:
                return found
        if self._default:
            return self._answers[DEFAULT_KEY]
        raise self._miss(call)

    def _miss(self, call: MockCall) -> NoMatchingRuleError:
        asked = next((value for value in call.inputs.values() if isinstance(value, str)), canonical_json(call.inputs))
        near = most_similar(asked, self._answers)
        return NoMatchingRuleError(
            f"No key of this mock's responses matches {call.describe()}, and there is no 'default'. "
            f"Nearest of {len(self._answers)} keys: {', '.join(map(repr, near)) or 'none'}. "
            f"Write responses={{{asked!r}: …}} or add a 'default'.",
            details={
                "signature": call.signature_name,
                "inputs": to_json_mapping(call.inputs),
                "nearest": near,
            },
        )


def _values(call: MockCall) -> Iterator[str]:
    """The inputs as keys of a table would spell them."""
    yield from _spellings(call.inputs)
    yield from _spellings(_carried_inputs(call))
    if call.capture is not None and call.capture.outer is not None:
        yield from _spellings(call.capture.outer.inputs)


def _carried_inputs(call: MockCall) -> dict[str, Any]:
    """Inputs that an agent's later turns leave to its history."""
    if not call.is_agent_step:
        return {}
    history = next((value for value in call.inputs.values() if isinstance(value, dspy.History)), None)
    if history is None:
        return {}
    absent = [name for name in call.shape.inputs if call.inputs.get(name) is None]
    return {name: message[name] for message in history.messages for name in absent if name in message}


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
