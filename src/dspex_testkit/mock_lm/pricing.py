"""What a call would have cost, from the price list that DSPy ships; nothing is fetched."""

import gzip
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from dspy.clients.model_metadata import model_info

from dspex_testkit.calls import Usage

Prices = Mapping[str, Decimal]
"""US dollars per token: `input` and `output`, perhaps `cached` and `reasoning`."""

_NAMESPACES = {"google": "gemini"}
_RATES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
}
_MILLION = Decimal(1_000_000)


@lru_cache(maxsize=512)
def listed_prices(provider: str, model: str) -> Prices | None:
    """The prices of a model, or None where the list does not have it."""
    if provider == "mock":
        return None
    namespace = _NAMESPACES.get(provider, provider)
    # Where DSPy is told to stay offline, its list may be asked; otherwise that would fetch a newer one.
    if os.environ.get("LITELLM_LOCAL_MODEL_COST_MAP", "").lower() == "true":
        entry: Mapping[str, Any] = model_info(namespace, model)
    else:
        entry = _shipped_entry(namespace, model)
    found = {name: entry.get(key) for name, key in _RATES.items()}
    if found["input"] is None or found["output"] is None:
        return None
    # Floats in the list are the decimals that were written there.
    return MappingProxyType({name: Decimal(str(price)) for name, price in found.items() if price is not None})


def _shipped_entry(namespace: str, model: str) -> Mapping[str, Any]:
    listed = _shipped_list()
    entry = listed.get(f"{namespace}/{model}") or listed.get(model) or {}
    return entry if entry.get("litellm_provider") == namespace else {}


@lru_cache(maxsize=1)
def _shipped_list() -> Mapping[str, Mapping[str, Any]]:
    data = files("dspy.clients.model_metadata").joinpath("snapshot.json.gz").read_bytes()
    wanted = ("litellm_provider", *_RATES.values())
    return {
        model: {key: entry[key] for key in wanted if key in entry}
        for model, entry in json.loads(gzip.decompress(data)).items()
        if isinstance(entry, dict) and "input_cost_per_token" in entry
    }


def prices_per_million(given: Mapping[str, Decimal]) -> Prices:
    """Prices given per million tokens, as price lists are written."""
    return MappingProxyType({name: price / _MILLION for name, price in given.items()})


def cost_of(usage: Usage, prices: Prices) -> Decimal | None:
    """US dollars, exact; None where the usage is unknown."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    cached, reasoning = usage.cached_tokens or 0, usage.reasoning_tokens or 0
    return (
        (usage.input_tokens - cached) * prices["input"]
        + cached * prices.get("cached", prices["input"])
        + (usage.output_tokens - reasoning) * prices["output"]
        + reasoning * prices.get("reasoning", prices["output"])
    )
