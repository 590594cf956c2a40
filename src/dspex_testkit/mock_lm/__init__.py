"""LMs that answer without a provider: deterministic, scripted, random, by a function.

`MockLM` is a `dspy.LM`. Reading a spec needs no dspy: this package loads each name on first use.

    lm, engine                 the `dspy.LM`, and the engine behind it: a request in, a response out
    dummy, embedder            in the place of DSPy's `DummyLM`; vectors without a provider
    spec, files                what was written, as JSON, TOML or YAML
    rule, rules, conditions    which rule answers, and when one applies
    sources, table, functions  where an answer comes from where no rule applies
    forms, reading_forms       what an answer can be, as it was written
    mock_call, turns           what is asked, and how far an agent or conversation has got
    answers, completing        what was decided, and one typed value per field of it
    values, typed_values       values of any type in their `bounds`; `made_up` and `realistic` for what is left open
    reply, rendering           the parts of a response, in the text of the adapter in use; `usage` counts its tokens
    agents, direct             what a mock says of its own accord as an agent, or to a call without an adapter
    fault_spec, faults         what goes wrong, and how
    clock, durations, timing   how long a mock takes
    recordings                 the doors to recordings, which register here
    offline                    keeps DSPy from asking the network
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dspex_testkit.dspy_internals.retries import retries_on
    from dspex_testkit.engines.lm_errors import find_mock_error
    from dspex_testkit.mock_lm.answers import Answer
    from dspex_testkit.mock_lm.clock import VirtualClock
    from dspex_testkit.mock_lm.dummy import DummyLM
    from dspex_testkit.mock_lm.embedder import MockEmbedder
    from dspex_testkit.mock_lm.engine import Capabilities
    from dspex_testkit.mock_lm.fault_spec import FaultSpec
    from dspex_testkit.mock_lm.files import load_mock_spec
    from dspex_testkit.mock_lm.lm import MockLM
    from dspex_testkit.mock_lm.mock_call import MockCall
    from dspex_testkit.mock_lm.spec import SPEC_KEYS, MockSpec, mock_spec_schema, parse_mock_spec

_HOMES = {
    "Answer": "dspex_testkit.mock_lm.answers",
    "Capabilities": "dspex_testkit.mock_lm.engine",
    "DummyLM": "dspex_testkit.mock_lm.dummy",
    "FaultSpec": "dspex_testkit.mock_lm.fault_spec",
    "MockCall": "dspex_testkit.mock_lm.mock_call",
    "MockEmbedder": "dspex_testkit.mock_lm.embedder",
    "MockLM": "dspex_testkit.mock_lm.lm",
    "MockSpec": "dspex_testkit.mock_lm.spec",
    "SPEC_KEYS": "dspex_testkit.mock_lm.spec",
    "VirtualClock": "dspex_testkit.mock_lm.clock",
    "find_mock_error": "dspex_testkit.engines.lm_errors",
    "load_mock_spec": "dspex_testkit.mock_lm.files",
    "mock_spec_schema": "dspex_testkit.mock_lm.spec",
    "parse_mock_spec": "dspex_testkit.mock_lm.spec",
    "retries_on": "dspex_testkit.dspy_internals.retries",
}

__all__ = [
    "SPEC_KEYS",
    "Answer",
    "Capabilities",
    "DummyLM",
    "FaultSpec",
    "MockCall",
    "MockEmbedder",
    "MockLM",
    "MockSpec",
    "VirtualClock",
    "find_mock_error",
    "load_mock_spec",
    "mock_spec_schema",
    "parse_mock_spec",
    "retries_on",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
