"""The wire: bytes in, events out, and the values that travel. Knows no pipe, no process and no dspy.

    frames      FrameDecoder: bytes → Frame | OversizedFrame | EndOfStream | NEED_DATA
    messages    parse_request, encode_response: the bridge's side of a payload
                encode_request, parse_response: the client's side
    codec       JSON and bytes, by `plain_json` until orjson may be imported
    recovery    the id of a request whose packet is not read

Everything here runs before the first ping is answered, so nothing beyond ``json`` is imported.
"""

from dspex_testkit.protocol.codec import use_orjson
from dspex_testkit.protocol.frames import (
    DEFAULT_MAX_FRAME_SIZE,
    NEED_DATA,
    EndOfStream,
    Frame,
    FrameDecoder,
    NeedData,
    OversizedFrame,
    encode_frame,
    frame_header,
)
from dspex_testkit.protocol.messages import (
    Request,
    Response,
    encode_request,
    encode_response,
    parse_request,
    parse_response,
)

__all__ = [
    "DEFAULT_MAX_FRAME_SIZE",
    "NEED_DATA",
    "EndOfStream",
    "Frame",
    "FrameDecoder",
    "NeedData",
    "OversizedFrame",
    "Request",
    "Response",
    "encode_frame",
    "encode_request",
    "encode_response",
    "frame_header",
    "parse_request",
    "parse_response",
    "use_orjson",
]
