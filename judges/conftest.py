"""The official SDKs judge the simulator: what they cannot parse, or parse otherwise than told, is its fault.

Run with ``tox run -e judges``; the SDKs are not among the project's own dependencies.
"""

from collections.abc import Iterator

import pytest

from dspex_testkit.simulator import ProviderSimulator

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
ANSWERS = {
    "plain": {"$value": "Paris is the capital"},
    "reasoned": {"$value": "Paris", "$reasoning": "I look at a map"},
    "tools": {"$tool_calls": [{"name": "count", "args": {"city": "Oslo", "people": 7}}]},
    "cut": {"$value": "x" * 400},
}
"""Kinds of answers that every provider has a form for; `cut` is asked for with few tokens."""


@pytest.fixture(scope="session")
def sim() -> Iterator[ProviderSimulator]:
    """A running simulator."""
    with ProviderSimulator() as simulator:
        yield simulator
