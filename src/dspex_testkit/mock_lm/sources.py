"""Where a mock's answers come from, and who makes up what they leave open."""

import re
from typing import Protocol

from dspex_testkit.calls import Counters
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.bounds import Bounds
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.script import Script
from dspex_testkit.mock_lm.spec import MockSpec
from dspex_testkit.mock_lm.table import Table
from dspex_testkit.mock_lm.typed_values import Draw, MakeText, ValueMaker, fit_length, number_source
from dspex_testkit.mock_lm.values import canonical_json


class Source(Protocol):
    """Decides the answer to a call."""

    def answer(self, call: MockCall) -> Answer:
        """The answer; fields it leaves open are made up afterwards."""
        ...


class OpenAnswers:
    """Leaves everything open: derived and random mocks."""

    def __init__(self, rule: str) -> None:
        self._answer = Answer(rule=rule)

    def answer(self, call: MockCall) -> Answer:
        """An answer without any value."""
        return self._answer


def source_for(spec: MockSpec, state: Counters) -> Source:
    """The source that a spec describes."""
    if spec.script is not None:
        return Script(spec.script, state, on_exhausted=spec.on_exhausted)
    if spec.responses is not None:
        return Table(spec.responses)
    return OpenAnswers("random" if spec.mode == "random" else "derived")


def derived_values(call: MockCall) -> ValueMaker:
    """Values that follow from model, signature and inputs, and carry their field's name."""
    draw = number_source(*_identity(call))

    def text(path: str, bounds: Bounds) -> str:
        return fit_length(f"mock_{_label(path)}_{draw(path) & 0xFFFFFFFF:08x}", bounds)

    return ValueMaker(draw, text)


class RandomValues:
    """Values of a random mock: `mock_<1..1000>` for texts.

    They depend on the seed, the request and how often that same request has come, not on the order of requests.
    """

    def __init__(self, seed: int | str | None, state: Counters) -> None:
        self._seed = "0" if seed is None else str(seed)
        self._state = state

    def __call__(self, call: MockCall) -> ValueMaker:
        """The values for one call; advances its occurrence."""
        identity = (*_identity(call), str(call.rollout_id))
        occurrence = self._state.next_index("\x1f".join(("occurrence", *identity)))
        draw = number_source(self._seed, *identity, str(occurrence))
        return ValueMaker(draw, _random_text(draw))


def _random_text(draw: Draw) -> MakeText:
    def text(path: str, bounds: Bounds) -> str:
        return fit_length(f"mock_{draw(path) % 1000 + 1}", bounds)

    return text


def _identity(call: MockCall) -> tuple[str, ...]:
    signature = call.full_signature
    name = "" if signature is None else signature.__name__
    fields = () if signature is None else (*signature.input_fields, "->", *signature.output_fields)
    return (call.provider, call.model, name, " ".join(fields), canonical_json(call.inputs))


def _label(path: str) -> str:
    return re.sub(r"\W+", "_", path).strip("_")
