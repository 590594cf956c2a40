"""A vcrpy stub for DSPy's own HTTP client, which speaks through raw sockets that vcrpy does not know.

It does for that client what vcrpy's stubs do for httpx: ask the cassette first, else send, read the whole body, keep
it, and hand it on. Registered as vcrpy's `custom_patches`.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from vcr.request import Request as VCRRequest

from dspex_testkit.dspy_internals.native_transport import (
    AsyncTransportResponse,
    TransportRequest,
    TransportResponse,
    real_async_stream,
    real_stream,
    replacements,
)


def native_patches(cassette: Any) -> tuple[tuple[Any, str, Any], ...]:
    """What vcrpy is to replace while this cassette is in use: owner, attribute and replacement each."""

    def stream(transport: Any, request: TransportRequest) -> TransportResponse:
        asked = _asked(request)
        found = cassette.answer(asked)
        if found is None:
            with real_stream(transport, request) as response:
                found = _answer(response, response.read())
            cassette.append(asked, found)
        return TransportResponse(chunks=_pieces(found), release=lambda consumed: None, **_head(found))

    async def async_stream(transport: Any, request: TransportRequest) -> AsyncTransportResponse:
        asked = _asked(request)
        found = cassette.answer(asked)
        if found is None:
            response = await real_async_stream(transport, request)
            try:
                found = _answer(response, await response.read())
            finally:
                await response.aclose()
            cassette.append(asked, found)
        return AsyncTransportResponse(chunks=_async_pieces(found), release=_released, **_head(found))

    return replacements(stream, async_stream)


def _asked(request: TransportRequest) -> VCRRequest:
    return VCRRequest(request.method, request.url, request.body, dict(request.headers))


def _answer(response: Any, body: bytes) -> dict[str, Any]:
    headers: dict[str, list[str]] = {}
    for name, value in response.headers:
        headers.setdefault(name, []).append(value)
    return {
        "status": {"code": response.status, "message": response.reason},
        "headers": headers,
        "body": {"string": body},
    }


def _head(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": answer["status"]["code"],
        "reason": answer["status"]["message"] or "",
        "headers": [(name, value) for name, values in answer["headers"].items() for value in _list(values)],
        "http_version": "HTTP/1.1",
    }


def _list(values: Any) -> list[str]:
    return list(values) if isinstance(values, list | tuple) else [values]


def _pieces(answer: dict[str, Any]) -> Iterator[bytes]:
    yield answer["body"]["string"]


async def _async_pieces(answer: dict[str, Any]) -> AsyncIterator[bytes]:
    yield answer["body"]["string"]


async def _released(consumed: bool) -> None:
    """There is no connection to give back."""
