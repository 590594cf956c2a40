"""Canaries: every call of an LM still goes through the functions that are wrapped and asked."""

import inspect

import dspy
from dspy.clients import execution
from dspy.lm15 import Message, Request

from dspex_testkit.dspy_internals.execution import SEAM, engine_for
from dspex_testkit.mock_lm import MockLM


def test_dspy_still_has_the_functions_that_are_wrapped() -> None:
    """The canary: DSPy renamed a function, or calls it with other arguments."""
    wanted = {
        "execute": ["lm", "call"],
        "aexecute": ["lm", "call"],
        "_select_engine": ["lm", "call", "asynchronous"],
        "_cached": ["lm", "call", "asynchronous"],
        "_store": ["lm", "call", "result", "asynchronous"],
    }

    found = {name: list(inspect.signature(getattr(execution, name)).parameters) for name in SEAM}

    assert found == wanted
    assert callable(execution._canonical)


def test_every_kind_of_lm_gives_an_engine_for_a_request() -> None:
    """DSPy's own client, litellm and a custom engine are each found, in both colours."""
    request = Request(model="openai/gpt-4o-mini", messages=(Message.user("hi"),))
    native = dspy.LM("openai/gpt-4o-mini", api_key="nobody")
    legacy = dspy.LM("openai/gpt-4o-mini", api_key="nobody", engine="litellm")
    mock = MockLM(provider="openai", model="gpt-4o-mini")
    assert type(engine_for(native, request, asynchronous=False)).__name__ == "LM15Engine"
    assert type(engine_for(legacy, request, asynchronous=False)).__name__ == "LiteLLMEngine"
    assert type(engine_for(legacy, request, asynchronous=True)).__name__ == "AsyncLiteLLMEngine"
    assert engine_for(mock, request, asynchronous=False) is mock.engine
