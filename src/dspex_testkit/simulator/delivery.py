"""Sending an answer, whole or spoilt."""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from dspex_testkit.mock_lm.clock import Clock
from dspex_testkit.protocol import codec
from dspex_testkit.simulator.http_faults import HTTPFault
from dspex_testkit.wires.exchange import Pause

_JSON = "application/json"
_PAGE = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"
_MEGABYTE = 1 << 20
_USUAL_DELAY = 1.0


class Delivery:
    """Sends to one request.

    Args:
        request: Whom to answer.
        headers: What every answer carries.
        clock: Where delays are waited for.
        stopping: Set when the server stops, which no delay may outlast.
    """

    def __init__(
        self, request: web.BaseRequest, headers: Mapping[str, str], clock: Clock, stopping: asyncio.Event
    ) -> None:
        self._request = request
        self._headers = dict(headers)
        self._clock = clock
        self._stopping = stopping

    async def send(self, body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
        """A whole body."""
        return web.Response(
            body=codec.dumps(body), status=status, content_type=_JSON, headers={**self._headers, **(headers or {})}
        )

    async def send_stream(
        self,
        frames: Sequence[bytes | Pause],
        content_type: str,
        *,
        headers: Mapping[str, str],
        fault: HTTPFault | None,
        told: Callable[[int], None],
        error: bytes = b"",
    ) -> Any:
        """Frames one by one, with the pauses between them, up to where the answer breaks off or a fault strikes.

        Args:
            frames: The whole stream.
            content_type: What it is sent as.
            headers: What this answer carries besides.
            fault: What is done to it.
            told: Called with the number of frames before the last one goes out, so that whoever has read the stream
                finds it in the journal.
            error: The frame that a fault puts in the place of the end.
        """
        kind = None if fault is None else fault.kind
        frames, breaks = _until_it_ends(frames, fault)
        if kind == "error_event":
            frames = [*frames, error]
        count, sent = sum(isinstance(frame, bytes) for frame in frames), 0
        response = web.StreamResponse(headers={**self._headers, **headers, "Cache-Control": "no-cache"})
        response.content_type = "text/plain" if kind == "wrong_content_type" else content_type
        await response.prepare(self._request)
        for frame in frames:
            if isinstance(frame, Pause):
                await self.wait(frame.seconds)
                continue
            if fault is not None and kind == "stalled_stream" and sent == fault.after_chunks:
                await self.wait_out(fault)
            if kind == "malformed" or (fault is not None and kind == "bad_chunk" and sent == fault.after_chunks):
                frame = frame.replace(b"{", b"<")
            sent += 1
            if sent == count:
                told(count)
            await response.write(frame)
        if not count:
            told(0)
        if kind == "reset_stream":
            self.reset()
        elif breaks:
            self.close()
        else:
            # A cut stream ends as if it were complete: only its events tell that it is not.
            await response.write_eof()
        return response

    async def send_spoilt(self, body: Mapping[str, Any], fault: HTTPFault) -> Any:
        """A whole body as the fault leaves it."""
        payload = codec.dumps(body)
        if fault.kind == "truncated":
            response = web.StreamResponse(headers=self._headers)
            response.content_type = _JSON
            response.content_length = len(payload)
            await response.prepare(self._request)
            await response.write(payload[: len(payload) // 2])
            self.close()
            return response
        if fault.kind == "reset_stream":
            self.reset()
        elif fault.kind in ("malformed", "bad_chunk"):
            payload = payload[:-1] + b",,"
        elif fault.kind == "oversized":
            payload = payload[:-1] + b" " * (fault.megabytes * _MEGABYTE) + b"}"
        content_type = "text/plain" if fault.kind == "wrong_content_type" else _JSON
        return web.Response(body=payload, content_type=content_type, headers=self._headers)

    async def send_instead(self, fault: HTTPFault) -> Any:
        """What comes in place of an answer."""
        if fault.kind == "reset":
            self.reset()
        elif fault.kind == "close":
            self.close()
        elif fault.kind == "hang":
            await self.wait_out(fault)
            self.close()
        elif fault.kind == "redirect":
            return web.Response(status=fault.status or 307, headers={**self._headers, "Location": fault.location})
        elif fault.kind == "html":
            status = fault.status or 200
            return web.Response(body=_PAGE, status=status, content_type="text/html", headers=self._headers)
        elif fault.kind == "empty_object":
            return await self.send({}, fault.status or 200)
        return web.Response(body=b"", status=fault.status or 200, content_type=_JSON, headers=self._headers)

    async def wait_out(self, fault: HTTPFault) -> None:
        """The fault's delay; one without an end ends with the server, or with the client."""
        if fault.delay_ms is not None:
            await self.wait(fault.delay_ms / 1000)
        else:
            await self.wait(None if fault.kind == "hang" else _USUAL_DELAY)

    async def wait(self, seconds: float | None) -> None:
        """Wait, but not longer than the server runs; None for as long as that."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._stopping.wait())]
        if seconds is not None:
            waits.append(asyncio.ensure_future(self._clock.asleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def close(self) -> None:
        """End the connection in good order."""
        if self._request.transport is not None:
            self._request.transport.close()

    def reset(self) -> None:
        """Break the connection off: the client's next read fails."""
        transport = self._request.transport
        if transport is None:
            return
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # Closing a socket that lingers for no time sends RST in place of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _until_it_ends(frames: Sequence[bytes | Pause], fault: HTTPFault | None) -> tuple[Sequence[bytes | Pause], bool]:
    """What of a stream goes out, and whether the connection breaks after it."""
    for index, frame in enumerate(frames):
        if isinstance(frame, Pause) and frame.breaks:
            return frames[:index], True
    if fault is None or fault.kind not in ("cut_stream", "truncated", "reset_stream", "error_event"):
        return frames, False
    places = [index for index, frame in enumerate(frames) if isinstance(frame, bytes)]
    kept = frames[: places[fault.after_chunks]] if fault.after_chunks < len(places) else frames
    return kept, fault.kind == "truncated"
