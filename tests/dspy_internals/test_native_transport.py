"""Canaries: DSPy's own HTTP client still sends and answers as recording needs it."""

import inspect

from dspex_testkit.dspy_internals import native_transport


def test_the_transports_have_the_methods_that_are_patched() -> None:
    """DSPy's HTTP client still sends requests through the two methods that recording replaces."""
    assert list(inspect.signature(native_transport.real_stream).parameters) == ["self", "request"]
    assert list(inspect.signature(native_transport.real_async_stream).parameters) == ["self", "request"]
    assert inspect.iscoroutinefunction(native_transport.real_async_stream)
    replaced = native_transport.replacements(print, print)
    assert [getattr(owner, name) for owner, name, _ in replaced] == [
        native_transport.real_stream,
        native_transport.real_async_stream,
    ]
    wanted = {"status", "reason", "headers", "http_version", "chunks", "release"}
    for response in (native_transport.TransportResponse, native_transport.AsyncTransportResponse):
        assert wanted <= set(inspect.signature(response.__init__).parameters)
    assert {"method", "url", "headers", "body"} <= set(inspect.signature(native_transport.TransportRequest).parameters)


def test_events_of_a_stream_are_read() -> None:
    """Server-sent events come out of lines of bytes, each with its name and its data."""
    found = list(native_transport.parse_sse(iter([b"event: delta\n", b"data: {}\n", b"\n"])))
    assert [(event.event, event.data) for event in found] == [("delta", "{}")]
