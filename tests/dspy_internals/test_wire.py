"""Canaries: the JSON form of DSPy's canonical types is still there and still says everything."""

from dspy.lm15 import AuthError, Message, RateLimitError, Request, Response, TextPart, Usage, response_to_events

from dspex_testkit.dspy_internals import wire


def test_requests_and_responses_survive_their_json_form() -> None:
    """A request, a response and its events come back equal from their JSON form."""
    request = Request(model="openai/gpt-4o-mini", messages=(Message.user("hi"),), system="be kind")
    response = Response(
        id=None, model="m", message=Message.assistant([TextPart("hello")]), finish_reason="stop", usage=Usage(1, 2)
    )
    assert wire.request_from_dict(wire.request_to_dict(request)) == request
    assert wire.response_from_dict(wire.response_to_dict(response)) == response
    for event in response_to_events(response):
        assert wire.stream_event_from_dict(wire.stream_event_to_dict(event)) == event


def test_failures_survive_their_json_form() -> None:
    """A canonical error comes back as the same class with the same facts."""
    error = wire.error_from_dict(
        wire.error_to_dict(RateLimitError("slow", status=429, retry_after=2.0, provider="openai"))
    )
    assert isinstance(error, RateLimitError)
    assert (error.status, error.retry_after, error.provider) == (429, 2.0, "openai")


def test_advice_is_given_once() -> None:
    """Some classes add it when they are made, and a failure that is read back had it already."""
    failure = AuthError("no such key", provider="openai-chat", status=401, env_keys=("OPENAI_API_KEY",))

    read = wire.error_from_dict(wire.error_to_dict(failure))

    assert (read.message, str(read)) == (failure.message, str(failure))
    assert read.message.count("To fix:") == 1
