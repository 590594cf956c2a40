"""Canaries: what recording takes from DSPy's inside is still there and still means the same."""

import inspect

import dspy
from dspy.lm15 import Message, RateLimitError, Request, Response, TextPart, Usage, response_to_events

from dspex_testkit.cassettes import dspy_wire
from dspex_testkit.cassettes.errors_wire import error_from_dict, error_to_dict
from dspex_testkit.mock_lm import MockLM


def test_requests_and_responses_survive_their_json_form() -> None:
    """A request, a response and its events come back equal from their JSON form."""
    request = Request(model="openai/gpt-4o-mini", messages=(Message.user("hi"),), system="be kind")
    response = Response(
        id=None, model="m", message=Message.assistant([TextPart("hello")]), finish_reason="stop", usage=Usage(1, 2)
    )
    assert dspy_wire.request_from_dict(dspy_wire.request_to_dict(request)) == request
    assert dspy_wire.response_from_dict(dspy_wire.response_to_dict(response)) == response
    for event in response_to_events(response):
        assert dspy_wire.stream_event_from_dict(dspy_wire.stream_event_to_dict(event)) == event


def test_failures_survive_their_json_form() -> None:
    """A canonical error comes back as the same class with the same facts."""
    error = error_from_dict(error_to_dict(RateLimitError("slow", status=429, retry_after=2.0, provider="openai")))
    assert isinstance(error, RateLimitError)
    assert (error.status, error.retry_after, error.provider) == (429, 2.0, "openai")


def test_every_kind_of_lm_gives_an_engine_for_a_request() -> None:
    """DSPy's own client, litellm and a custom engine are each found, in both colours."""
    request = Request(model="openai/gpt-4o-mini", messages=(Message.user("hi"),))
    native = dspy.LM("openai/gpt-4o-mini", api_key="nobody")
    legacy = dspy.LM("openai/gpt-4o-mini", api_key="nobody", engine="litellm")
    mock = MockLM(provider="openai", model="gpt-4o-mini")
    assert type(dspy_wire.engine_for(native, request, asynchronous=False)).__name__ == "LM15Engine"
    assert type(dspy_wire.engine_for(legacy, request, asynchronous=False)).__name__ == "LiteLLMEngine"
    assert type(dspy_wire.engine_for(legacy, request, asynchronous=True)).__name__ == "AsyncLiteLLMEngine"
    assert dspy_wire.engine_for(mock, request, asynchronous=False) is mock.engine


def test_the_transports_have_the_methods_that_are_patched() -> None:
    """DSPy's HTTP client still sends requests through the two methods that recording replaces."""
    assert list(inspect.signature(dspy_wire.StdlibTransport.stream).parameters) == ["self", "request"]
    assert list(inspect.signature(dspy_wire.StdlibAsyncTransport._do_stream).parameters) == ["self", "request"]
    assert inspect.iscoroutinefunction(dspy_wire.StdlibAsyncTransport._do_stream)
    wanted = {"status", "reason", "headers", "http_version", "chunks", "release"}
    for response in (dspy_wire.TransportResponse, dspy_wire.AsyncTransportResponse):
        assert wanted <= set(inspect.signature(response.__init__).parameters)
    assert {"method", "url", "headers", "body"} <= set(inspect.signature(dspy_wire.TransportRequest).parameters)
