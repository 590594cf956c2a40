"""Prices: exact, from DSPy's list under a table of one's own; what nobody lists is unknown."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.calls import Usage
from dspex_testkit.calls.prices import _NAMESPACES, Rates
from dspex_testkit.errors import UsageError
from dspex_testkit.lm.config.providers import PROVIDERS
from dspex_testkit.lm.prices import PriceTable

LISTED = [("openai", "gpt-4o-mini"), ("google", "gemini-2.5-pro"), ("cohere", "command-r-08-2024"), ("xai", "grok-4.3")]


def million(input: str, output: str, **more: str) -> Rates:
    """Rates given per million tokens."""
    prices = {"input": input, "output": output, **more}
    return Rates(**{kind: Decimal(price) / 1_000_000 for kind, price in prices.items()})


def test_cached_and_reasoning_tokens_have_prices_of_their_own() -> None:
    """Each kind of token is priced once, at its own rate."""
    rates = million("10", "20", cached="1", cache_write="12", reasoning="30")
    usage = Usage(input_tokens=1000, output_tokens=100, cached_tokens=600, cache_write_tokens=100, reasoning_tokens=40)

    # 300 * 10 + 600 * 1 + 100 * 12 + 60 * 20 + 40 * 30, per million
    assert rates.cost(usage) == Decimal("0.0072")


def test_kinds_without_a_price_cost_what_the_others_do() -> None:
    """Reasoning is output, cached input is input, where nothing else is said."""
    usage = Usage(input_tokens=1000, output_tokens=100, cached_tokens=600, reasoning_tokens=40)
    assert million("10", "20").cost(usage) == Decimal("0.012")


def test_sums_are_exact() -> None:
    """A million times a tenth of a millionth is a tenth."""
    rates = million("0.1", "0")
    assert sum((rates.cost(Usage(input_tokens=1, output_tokens=0)) or 0) for _ in range(1000)) == Decimal("0.0001")


@pytest.mark.parametrize(
    "usage",
    [Usage(), Usage(input_tokens=1), Usage(output_tokens=1), Usage(input_tokens=1, output_tokens=1, cached_tokens=2)],
)
def test_unknown_or_contradictory_tokens_have_no_price(usage: Usage) -> None:
    """Unknown is never 0."""
    assert million("1", "1").cost(usage) is None


def test_an_unlisted_model_has_no_price() -> None:
    """Nor has one that another provider lists."""
    table = PriceTable()
    usage = Usage(input_tokens=1, output_tokens=1)
    assert table.cost("openai", "nobody-knows-this", usage) is None
    assert table.cost("anthropic", "gpt-4o-mini", usage) is None
    assert table.cost("mock", "mock", usage) is None


def test_a_long_context_has_its_own_price() -> None:
    """Above the threshold of the list every token costs more."""
    table = PriceTable()
    short, long = (table.rates("google", "gemini-2.5-pro", tokens) for tokens in (200_000, 200_001))

    assert short is not None
    assert long is not None
    assert long.input == 2 * short.input


def test_a_table_of_one_s_own_comes_first(tmp_path: Path) -> None:
    """By provider and model, in US dollars per million tokens, as text or number."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"gemini/gemini-pro": {"input": "0.3", "output": 1.2}}), encoding="utf-8")

    table = PriceTable.from_file(file)

    assert table.cost("google", "gemini-pro", Usage(input_tokens=1_000_000, output_tokens=0)) == Decimal("0.3")
    assert table.overrides("google", "gemini-pro")
    assert table.rates("openai", "gpt-4o-mini") == PriceTable().rates("openai", "gpt-4o-mini")


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("{", "cannot be read"),
        ([], "a JSON object of models"),
        ({"gpt-4": {"input": 1, "output": 1}}, "write provider/model"),
        ({"nobody/gpt-4": {"input": 1, "output": 1}}, "write provider/model"),
        ({"openai/gpt-4": 3}, "an object with 'input' and 'output'"),
        ({"openai/gpt-4": {"input": 1}}, "'output' is missing"),
        ({"openai/gpt-4": {"input": 1, "output": -1}}, "at least 0"),
        ({"openai/gpt-4": {"input": 1, "output": "much"}}, "a number of US dollars"),
        ({"openai/gpt-4": {"input": 1, "output": 1, "cachd": 1}}, "did you mean 'cached'"),
    ],
)
def test_a_wrong_table_is_explained(tmp_path: Path, content: Any, hint: str) -> None:
    """The error names the file, the model and what is wrong."""
    file = tmp_path / "prices.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")

    with pytest.raises(UsageError, match=r"prices\.json") as refused:
        PriceTable.from_file(file)

    assert hint in refused.value.message


def test_a_table_that_is_not_there_is_explained(tmp_path: Path) -> None:
    """The error names it."""
    with pytest.raises(UsageError, match=r"nowhere\.json"):
        PriceTable.from_file(tmp_path / "nowhere.json")


def test_the_list_is_asked_under_the_names_that_dspy_gives_providers() -> None:
    """Two tables know providers by DSPy's prefix; they say the same."""
    told = {name: namespaces[0] for name, namespaces in _NAMESPACES.items()}

    assert told == {name: PROVIDERS[name].prefix for name in told}
    assert [p.name for p in PROVIDERS.values() if p.prefix != p.name and p.name not in told] == []
