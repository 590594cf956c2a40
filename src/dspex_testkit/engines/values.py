"""Values as JSON: for journals, for comparing, and for whatever else has to tell them apart."""

import json
from collections.abc import Mapping
from typing import Any

from dspex_testkit.dspy_internals.adapter_text import serialize_for_json

PLAIN = (str, int, float, bool, type(None))
"""Types that are JSON as they are."""


def to_json(value: Any) -> Any:
    """The value as JSON-safe data."""
    return value if isinstance(value, PLAIN) else serialize_for_json(value)


def to_json_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Each value as JSON-safe data."""
    return {name: value if isinstance(value, PLAIN) else serialize_for_json(value) for name, value in values.items()}


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, no escapes."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=serialize_for_json)
    except TypeError:
        # Keys that are no texts, or of several types.
        return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
