"""What a call costs: DSPy's price list, read offline, under a table of the user's own.

The one place that knows how DSPy's list is laid out; `tests/lm/test_prices.py` notices when that changes. Prices are
read as the decimals that are written in the list, so sums are exact. What is not listed is unknown, never free.
"""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from dspex_testkit.calls import Usage
from dspex_testkit.errors import UsageError
from dspex_testkit.lm.params import nearest
from dspex_testkit.lm.providers import find_provider

_PER_MILLION = Decimal(1_000_000)
_LISTED = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
}
_LONG_CONTEXT = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
# Where the list files a provider's models under another name than DSPy's prefix.
_NAMESPACES = {"bedrock": ("bedrock", "bedrock_converse"), "vertex_ai": ("vertex_ai", "vertex_ai-language-models")}


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
        """The price of a call, or None where its tokens are unknown."""
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
        reasoning = usage.reasoning_tokens or 0
        plain_input, plain_output = usage.input_tokens - cached - written, usage.output_tokens - reasoning
        if min(plain_input, plain_output) < 0:
            return None  # the provider's counts contradict each other
        return (
            plain_input * self.input
            + cached * (self.input if self.cached is None else self.cached)
            + written * (self.input if self.cache_write is None else self.cache_write)
            + plain_output * self.output
            + reasoning * (self.output if self.reasoning is None else self.reasoning)
        )


class PriceTable:
    """Prices by model: the user's own table first, then DSPy's list.

    Args:
        own: Rates by ``provider/model``, provider as the bridge spells it.
    """

    def __init__(self, own: Mapping[str, Rates] | None = None) -> None:
        self._own = dict(own or {})

    @classmethod
    def from_file(cls, path: str | Path) -> "PriceTable":
        """Read a table of one's own.

        The file is JSON: ``{"openai/gpt-4o": {"input": "2.5", "output": "10", "cached": "1.25"}}``, in US dollars per
        million tokens; ``cached``, ``cache_write`` and ``reasoning`` may be left out. Numbers may be texts.

        Raises:
            UsageError: The file cannot be read, or an entry is none.
        """
        try:
            entries = json.loads(Path(path).read_text(encoding="utf-8"), parse_float=Decimal, parse_int=Decimal)
        except (OSError, ValueError) as error:
            raise UsageError(f"The price table {path} cannot be read: {error}", details={"file": str(path)}) from None
        if not isinstance(entries, dict):
            raise UsageError(f"The price table {path} must be a JSON object of models, such as {{'openai/gpt-4o': …}}")
        return cls({_own_key(model, path): _own_rates(model, entry, path) for model, entry in entries.items()})

    def overrides(self, provider: str, model: str) -> bool:
        """Whether the user's own table has the model."""
        return f"{provider}/{model}" in self._own

    def rates(self, provider: str, model: str, input_tokens: int = 0) -> Rates | None:
        """The rates for a call of that many input tokens, or None where nobody lists the model."""
        if (own := self._own.get(f"{provider}/{model}")) is not None:
            return own
        tiers = _listed(provider, model)
        return next((rates for above, rates in reversed(tiers) if input_tokens > above or above == 0), None)

    def cost(self, provider: str, model: str, usage: Usage) -> Decimal | None:
        """US dollars, exact; None where the price or the tokens are unknown."""
        rates = self.rates(provider, model, usage.input_tokens or 0)
        return None if rates is None else rates.cost(usage)


@lru_cache(maxsize=512)
def _listed(provider: str, model: str) -> tuple[tuple[int, Rates], ...]:
    """DSPy's rates for a model: pairs of the input tokens above which they hold, rising, and the rates."""
    known = find_provider(provider)
    namespace = known.prefix if known else provider
    entry = _entry(namespace, model)
    ordinary = _rates(entry, "")
    if ordinary is None:
        return ()
    thresholds = sorted(int(found[1]) for key in entry if (found := _LONG_CONTEXT.fullmatch(key)))
    tiers = [(k * 1000, _rates(entry, f"_above_{k}k_tokens")) for k in thresholds]
    return ((0, ordinary), *((above, rates) for above, rates in tiers if rates is not None))


def _entry(namespace: str, model: str) -> Mapping[str, Any]:
    listed = _price_list()
    providers = _NAMESPACES.get(namespace, (namespace,))
    for key in (f"{namespace}/{model}", model):
        entry = listed.get(key)
        if entry is not None and entry.get("litellm_provider") in providers:
            return entry
    return {}


def _rates(entry: Mapping[str, Any], suffix: str) -> Rates | None:
    found = {name: entry.get(key + suffix) for name, key in _LISTED.items()}
    if found["input"] is None or found["output"] is None:
        return None
    return Rates(**{name: Decimal(price) for name, price in found.items() if price is not None})


@lru_cache(maxsize=1)
def _price_list() -> Mapping[str, Mapping[str, Any]]:
    data = files("dspy.clients.model_metadata").joinpath("snapshot.json.gz").read_bytes()
    entries = json.loads(gzip.decompress(data), parse_float=Decimal)
    return {
        model: {key: value for key, value in entry.items() if "_per_" in key or "cache_" in key or key[0] == "l"}
        for model, entry in entries.items()
        if isinstance(entry, dict) and "input_cost_per_token" in entry
    }


def load_price_list() -> None:
    """Read DSPy's list now, so that no call waits for it."""
    _price_list()


def _own_key(model: str, path: object) -> str:
    head, slash, rest = model.partition("/")
    provider = find_provider(head)
    if not slash or not rest or provider is None:
        raise UsageError(f"The price table {path} names {model!r}; write provider/model, such as 'openai/gpt-4o'")
    return f"{provider.name}/{rest}"


def _own_rates(model: str, entry: object, path: object) -> Rates:
    where = f"The price table {path}, {model!r}"
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: an object with 'input' and 'output' was wanted, in US dollars per million tokens")
    rates: dict[str, Decimal] = {}
    for kind, price in entry.items():
        if kind not in _LISTED:
            raise UsageError(f"{where}: unknown key {kind!r}{nearest(kind, _LISTED)}; known are {', '.join(_LISTED)}")
        try:
            rates[kind] = Decimal(price) / _PER_MILLION
        except (ArithmeticError, TypeError, ValueError):
            raise UsageError(f"{where}: {kind} must be a number of US dollars, but {price!r} came") from None
        if not rates[kind].is_finite() or rates[kind] < 0:
            raise UsageError(f"{where}: {kind} must be at least 0, but {price!r} came")
    if missing := [kind for kind in ("input", "output") if kind not in rates]:
        raise UsageError(f"{where}: {missing[0]!r} is missing")
    return Rates(**rates)
