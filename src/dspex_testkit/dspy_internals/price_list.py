"""The prices and capabilities of models, as the list says that DSPy ships: read offline.

The prices are read without importing dspy. `tests/dspy_internals/test_price_list.py` fails loudly when the list moves
or is laid out in another way.
"""

import gzip
import json
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@lru_cache(maxsize=1)
def priced_models() -> Mapping[str, Mapping[str, Any]]:
    """What the list says of each model that has a price, by the model's name there; prices as exact decimals."""
    spec = find_spec("dspy")
    if spec is None or spec.origin is None:
        return {}
    packed = Path(spec.origin).parent / "clients" / "model_metadata" / "snapshot.json.gz"
    entries = json.loads(gzip.decompress(packed.read_bytes()), parse_float=Decimal)
    return {
        model: {key: value for key, value in entry.items() if "_per_" in key or "cache_" in key or key[0] == "l"}
        for model, entry in entries.items()
        if isinstance(entry, dict) and "input_cost_per_token" in entry
    }
