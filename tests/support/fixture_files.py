"""The files below `fixtures/`: samples of what travels, one a file, each read by every test of its kind."""

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[2] / "fixtures"
ACROSS_THE_WIRE = ("faults", "lm_configs", "mock_specs", "signatures")
"""The kinds that Elixir sends and Python reads, so that tests of both read them."""
KINDS = (*ACROSS_THE_WIRE, "wire_samples")

Sample = dict[str, Any]


def samples(kind: str) -> dict[str, Sample]:
    """The samples of one kind, by name."""
    assert kind in KINDS, f"there is no kind {kind!r} of fixtures; write one of {KINDS}"
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FIXTURES / kind).glob("*.json"))
    }
    assert found, f"fixtures/{kind} is empty"
    return found
