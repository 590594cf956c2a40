"""Canaries: DSPy's list of models is still where it is read, laid out as it is read."""

import subprocess
import sys

import pytest
from dspy.lm15 import Message, Request, Response, TextPart, Usage

from dspex_testkit.calls.prices import listed_rates
from dspex_testkit.dspy_internals.model_list import cost_of, model_info

LISTED = [("openai", "gpt-4o-mini"), ("google", "gemini-2.5-pro"), ("cohere", "command-r-08-2024"), ("xai", "grok-4.3")]


@pytest.mark.parametrize(("provider", "model"), LISTED)
def test_listed_prices_are_those_that_dspy_reads(provider: str, model: str) -> None:
    """What is read without DSPy is what DSPy itself reads."""
    rates = listed_rates(provider, model)
    spelled = {"google": "gemini", "cohere": "cohere_chat"}.get(provider, provider)
    info = model_info(spelled, model)

    assert rates is not None
    assert (float(rates.input), float(rates.output)) == (info["input_cost_per_token"], info["output_cost_per_token"])


def test_prices_are_read_without_importing_dspy() -> None:
    """The report and the plugin price calls, and import no dspy for that."""
    code = (
        "import sys; from dspex_testkit.dspy_internals.price_list import priced_models; "
        "assert len(priced_models()) > 100; assert 'dspy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_answer_costs_what_dspy_says() -> None:
    """A thousand tokens in and as many out, at the listed prices of the model that was wanted."""
    request = Request(model="openai/gpt-4o-mini", messages=(Message.user("?"),))
    response = Response(
        id=None,
        model="gpt-4o-mini",
        message=Message.assistant([TextPart("!")]),
        finish_reason="stop",
        usage=Usage(input_tokens=1000, output_tokens=1000),
    )
    rates = listed_rates("openai", "gpt-4o-mini")

    assert rates is not None
    assert cost_of("openai/gpt-4o-mini", request, response) == 1000 * rates.input + 1000 * rates.output
    assert cost_of("gpt-4o-mini", request, response) is None
