"""LMs that answer without a provider: deterministic, scripted, random.

`MockLM` is a `dspy.LM`. Reading a spec needs no dspy: this package loads each name on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dspex_testkit.mock_lm.failures import find_mock_error
    from dspex_testkit.mock_lm.lm import Capabilities, MockLM
    from dspex_testkit.mock_lm.spec import SPEC_KEYS, MockSpec, parse_mock_spec

_HOMES = {
    "Capabilities": "lm",
    "MockLM": "lm",
    "MockSpec": "spec",
    "SPEC_KEYS": "spec",
    "find_mock_error": "failures",
    "parse_mock_spec": "spec",
}

__all__ = [
    "SPEC_KEYS",
    "Capabilities",
    "MockLM",
    "MockSpec",
    "find_mock_error",
    "parse_mock_spec",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
