"""Canaries: every call of an LM still goes through the functions that are wrapped and asked."""

import inspect

import dspy
from dspy.clients import execution
from dspy.clients.engines.litellm_engine import AsyncLiteLLMEngine, LiteLLMEngine
from dspy.clients.lm15_boundary import response_value
from dspy.lm15 import Message, Request

from dspex_testkit.dspy_internals.call_stack import announce_call, end_call
from dspex_testkit.dspy_internals.execution import SEAM, CompatibilityEngine, compatibility_engine_for, engine_for
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


def test_litellm_is_found_for_what_dspy_s_own_client_cannot_carry() -> None:
    """And asked as DSPy asks it; for all else, and for custom engines, nobody stands in."""
    named = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}}
    lm = dspy.LM("openai/gpt-4o-mini", api_key="nobody")

    def found(lm: dspy.BaseLM, content: object, *, asynchronous: bool) -> CompatibilityEngine | None:
        token = announce_call(None, {"temperature": None}, [{"role": "user", "content": content}])
        try:
            return compatibility_engine_for(lm, asynchronous=asynchronous)
        finally:
            end_call(token)

    for asynchronous in (False, True):
        assert found(lm, [named], asynchronous=asynchronous) is not None
        assert found(MockLM(), [named], asynchronous=asynchronous) is None
    assert found(lm, "hi", asynchronous=False) is None
    for engine in (LiteLLMEngine, AsyncLiteLLMEngine):
        assert {"lm", "request", "context"} <= {*inspect.signature(engine.complete_legacy).parameters}
    assert list(inspect.signature(response_value).parameters) == ["response", "model_type", "request"]
