"""The prices of a bridge: a table of the user's own over DSPy's list."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from dspex_testkit.calls import Usage
from dspex_testkit.calls.prices import KINDS, Rates, listed_rates, per_million
from dspex_testkit.errors import UsageError
from dspex_testkit.lm.config.providers import find_provider
from dspex_testkit.nearest import nearest_hint


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
        """The rates for a call of that many input tokens, or None where the model is in no price list."""
        if (own := self._own.get(f"{provider}/{model}")) is not None:
            return own
        return listed_rates(provider, model, input_tokens)

    def cost(self, provider: str, model: str, usage: Usage) -> Decimal | None:
        """US dollars, exact; None where the price or the tokens are unknown."""
        rates = self.rates(provider, model, usage.input_tokens or 0)
        return None if rates is None else rates.cost(usage)


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
    prices: dict[str, Decimal] = {}
    for kind, price in entry.items():
        if kind not in KINDS:
            raise UsageError(f"{where}: unknown key {kind!r}{nearest_hint(kind, KINDS)}; known are {', '.join(KINDS)}")
        try:
            prices[kind] = Decimal(price)
        except (ArithmeticError, TypeError, ValueError):
            raise UsageError(f"{where}: {kind} must be a number of US dollars, but {price!r} came") from None
        if not prices[kind].is_finite() or prices[kind] < 0:
            raise UsageError(f"{where}: {kind} must be at least 0, but {price!r} came")
    if missing := [kind for kind in ("input", "output") if kind not in prices]:
        raise UsageError(f"{where}: {missing[0]!r} is missing")
    return per_million(prices)
