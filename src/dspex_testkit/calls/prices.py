"""Prices of tokens: rates, and those of the price list that DSPy ships.

Prices are the decimals that are written in the list, so sums are exact. What is not listed is unknown, never free.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from dspex_testkit.calls.call import Usage
from dspex_testkit.dspy_internals.price_list import priced_models

KINDS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
}
"""Kinds of tokens that have a price, and what the list calls them."""
_LONG_CONTEXT = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
# Where the list files a provider's models under another name than ours.
_NAMESPACES = {
    "bedrock": ("bedrock", "bedrock_converse"),
    "cohere": ("cohere_chat",),
    "google": ("gemini",),
    "together": ("together_ai",),
    "vertex": ("vertex_ai", "vertex_ai-language-models"),
}
_PER_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per token, by kind of token."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    """Input read from the provider's prompt cache; as input where None."""
    cache_write: Decimal | None = None
    """Input written to the provider's prompt cache; as input where None."""
    reasoning: Decimal | None = None
    """Output spent on reasoning; as other output where None."""

    def cost(self, usage: Usage) -> Decimal | None:
        """The price of a call, or None where its tokens are unknown or `contradiction` says why there is none."""
        if usage.input_tokens is None or usage.output_tokens is None or contradiction(usage) is not None:
            return None
        cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
        reasoning = usage.reasoning_tokens or 0
        plain_input, plain_output = usage.input_tokens - cached - written, usage.output_tokens - reasoning
        return (
            plain_input * self.input
            + cached * (self.input if self.cached is None else self.cached)
            + written * (self.input if self.cache_write is None else self.cache_write)
            + plain_output * self.output
            + reasoning * (self.output if self.reasoning is None else self.reasoning)
        )


def contradiction(usage: Usage) -> str | None:
    """Why the reported tokens of a call cannot be priced; None where they can."""
    if usage.cached_tokens is usage.cache_write_tokens is usage.reasoning_tokens is None:
        return None
    cached = (usage.cached_tokens or 0) + (usage.cache_write_tokens or 0)
    if usage.input_tokens is not None and cached > usage.input_tokens:
        return f"{cached} cached tokens are more than the {usage.input_tokens} input tokens that they are part of"
    reasoning = usage.reasoning_tokens or 0
    if usage.output_tokens is not None and reasoning > usage.output_tokens:
        return (
            f"{reasoning} reasoning tokens are more than the {usage.output_tokens} output tokens that they are part of"
        )
    return None


def per_million(prices: Mapping[str, Decimal]) -> Rates:
    """Rates from prices as they are usually written: US dollars per million tokens, by kind."""
    return Rates(**{kind: price / _PER_MILLION for kind, price in prices.items()})


def listed_rates(provider: str, model: str, input_tokens: int = 0) -> Rates | None:
    """DSPy's rates for a call of that many input tokens, or None where it does not list the model."""
    for above, rates in _tiers(provider, model):
        if input_tokens > above or above == 0:
            return rates
    return None


@lru_cache(maxsize=512)
def _tiers(provider: str, model: str) -> tuple[tuple[int, Rates], ...]:
    """DSPy's rates for a model: pairs of the input tokens above which they hold, falling, and the rates."""
    entry = _entry(provider, model)
    ordinary = _rates(entry, "")
    if ordinary is None:
        return ()
    thresholds = sorted((int(found[1]) for key in entry if (found := _LONG_CONTEXT.fullmatch(key))), reverse=True)
    tiers = [(k * 1000, _rates(entry, f"_above_{k}k_tokens")) for k in thresholds]
    return (*((above, rates) for above, rates in tiers if rates is not None), (0, ordinary))


def _entry(provider: str, model: str) -> Mapping[str, Any]:
    listed = priced_models()
    namespaces = _NAMESPACES.get(provider, (provider,))
    for key in (f"{namespaces[0]}/{model}", model):
        entry = listed.get(key)
        if entry is not None and entry.get("litellm_provider") in namespaces:
            return entry
    return {}


def _rates(entry: Mapping[str, Any], suffix: str) -> Rates | None:
    found = {name: entry.get(key + suffix) for name, key in KINDS.items()}
    if found["input"] is None or found["output"] is None:
        return None
    return Rates(**{name: Decimal(price) for name, price in found.items() if price is not None})


def load_price_list() -> None:
    """Read DSPy's list now, so that no call waits for it."""
    priced_models()
