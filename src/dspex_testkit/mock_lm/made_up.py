"""What is made up where an answer leaves a field open: derived and random values."""

import re

from dspex_testkit.calls import Counters
from dspex_testkit.engines.values import canonical_json
from dspex_testkit.errors import NoMatchingRuleError
from dspex_testkit.mock_lm.bounds import Bounds
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.spec import MockSpec
from dspex_testkit.mock_lm.typed_values import MakeText, ValueMaker, fit_length, number_source


def derived_values(call: MockCall) -> ValueMaker:
    """Values that follow from model, signature and inputs, and carry their field's name."""
    return _derived(_identity(call), 0)


def refused_values(call: MockCall) -> ValueMaker:
    """No values: what nobody gave an answer for is an error.

    Raises:
        NoMatchingRuleError: Always.
    """
    outputs = "" if call.capture is None else f" with the outputs {', '.join(map(repr, call.shape.outputs))}"
    raise NoMatchingRuleError(
        f"Nobody gave an answer, or not all of one, for {call.describe()}{outputs}, and derived='fail' forbids to make "
        "it up. Answer it in a table, rule or script, with a value for each output.",
        details={"signature": call.signature_name, "derived": "fail"},
    )


def _derived(identity: tuple[str, ...], attempt: int) -> ValueMaker:
    draw = number_source(*identity, *_mark(attempt))

    def text(path: str, bounds: Bounds) -> str:
        label = re.sub(r"\W+", "_", path).strip("_")
        return fit_length(f"mock_{label}_{draw(path) & 0xFFFFFFFF:08x}", bounds)

    return ValueMaker(draw, text, again=lambda: _derived(identity, attempt + 1))


def _mark(attempt: int) -> tuple[str, ...]:
    """What tells another attempt from the first."""
    return (f"attempt {attempt}",) if attempt else ()


class RandomValues:
    """Values of a random mock: `mock_<1..1000>` for texts, or realistic ones.

    They depend on the seed, the request and how often that same request has come, not on the order of requests.
    """

    def __init__(self, spec: MockSpec, counters: Counters) -> None:
        self._seed = "0" if spec.seed is None else str(spec.seed)
        self._counters = counters
        self._null_rate = spec.null_rate
        self._realistic = None
        if spec.realistic or spec.locale is not None:
            from dspex_testkit.mock_lm.realistic import RealisticTexts

            self._realistic = RealisticTexts(spec.locale or "en_US")

    def __call__(self, call: MockCall) -> ValueMaker:
        """The values for one call; advances its occurrence."""
        identity = (*_identity(call), str(call.rollout_id))
        # Counted per session and program, so that neither is disturbed by what others ask meanwhile.
        asker = (call.session_id or "", call.program_id or "")
        occurrence = self._counters.next_index("\x1f".join(("occurrence", *asker, *identity)))
        return self._maker((*identity, str(occurrence)), 0)

    def _maker(self, identity: tuple[str, ...], attempt: int) -> ValueMaker:
        draw = number_source(self._seed, *identity, *_mark(attempt))

        def plain(path: str, bounds: Bounds) -> str:
            return fit_length(f"mock_{draw(path) % 1000 + 1}", bounds)

        make_text: MakeText = plain if self._realistic is None else self._realistic.maker(draw)
        return ValueMaker(
            draw,
            make_text,
            null_rate=self._null_rate,
            any_member=True,
            again=lambda: self._maker(identity, attempt + 1),
        )


def _identity(call: MockCall) -> tuple[str, ...]:
    signature = call.full_signature
    name = "" if signature is None else signature.__name__
    fields = () if signature is None else (*call.shape.inputs, "->", *call.shape.outputs)
    return (call.provider, call.model, name, " ".join(fields), canonical_json(call.inputs))
