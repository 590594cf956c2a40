"""DSPy's own HTTP client, which speaks through raw sockets: what recording and replaying its traffic needs of it.

`StdlibTransport.stream` and `StdlibAsyncTransport._do_stream` are the two methods through which each request leaves.
`tests/dspy_internals/test_native_transport.py` fails loudly when one of these moves.
"""

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
    "StdlibAsyncTransport",
    "StdlibTransport",
    "TransportRequest",
    "TransportResponse",
    "parse_sse",
]
