"""DSPy's own HTTP client, which speaks through raw sockets: what recording and replaying its traffic needs of it.

`StdlibTransport.stream` and `StdlibAsyncTransport._do_stream` are the two methods through which each request leaves.
`tests/dspy_internals/test_native_transport.py` fails loudly when one of these moves.
"""

from collections.abc import Callable
from typing import Any

from dspy._vendor.lm15.sse import parse_sse
from dspy._vendor.lm15.transports import (
    AsyncTransportResponse,
    StdlibAsyncTransport,
    StdlibTransport,
    TransportRequest,
    TransportResponse,
)

__all__ = [
    "AsyncTransportResponse",
    "TransportRequest",
    "TransportResponse",
    "parse_sse",
    "real_async_stream",
    "real_stream",
    "replacements",
]

real_stream = StdlibTransport.stream
"""Sends a request: what `replacements` takes away."""
real_async_stream = StdlibAsyncTransport._do_stream
"""The same of the asynchronous client."""


def replacements(stream: Callable[..., Any], async_stream: Callable[..., Any]) -> tuple[tuple[Any, str, Any], ...]:
    """Owner, attribute and replacement of each method through which a request leaves.

    Args:
        stream: Takes a transport and a request, and gives a `TransportResponse`.
        async_stream: The same as a coroutine function, which gives an `AsyncTransportResponse`.
    """
    return ((StdlibTransport, "stream", stream), (StdlibAsyncTransport, "_do_stream", async_stream))
