"""Frames: a 4-byte big-endian length, then that many bytes; what an Erlang port calls ``{:packet, 4}``.

The decoder never touches a pipe. It is fed whatever arrived and asked for events until it needs more::

    decoder.feed_data(data)
    while (event := decoder.next_event()) is not NEED_DATA:
        ...

A frame above the limit is neither buffered nor fatal: its bytes are dropped as they arrive, only both ends of
it are kept, because that is where the id of a request is found, and the frame after it is read as usual.
"""

from dspex_testkit.errors import LocalProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Event: TypeAlias = "Frame | OversizedFrame | EndOfStream | NeedData"

HEADER_SIZE = 4
LARGEST_SIZE = 0xFFFFFFFF
DEFAULT_MAX_FRAME_SIZE = 256 * 1024 * 1024
KEPT_OF_OVERSIZED = 4096
"""Bytes remembered at either end of a frame that is too large."""
_COPIED_TWICE = 1 << 16
"""Below this size a second copy is faster than a view."""


class NeedData:
    """The type of `NEED_DATA`: nothing to report until more bytes are fed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NEED_DATA"


NEED_DATA = NeedData()


class Frame:
    """One complete packet."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frame) and self.payload == other.payload

    def __hash__(self) -> int:
        return hash(self.payload)

    def __repr__(self) -> str:
        # A payload may carry an API key; its size is all that a log needs.
        return f"Frame({len(self.payload)} bytes)"


class OversizedFrame:
    """A packet above the limit, reported once all of it has been skipped.

    Args:
        size: Announced length in bytes.
        head: Its first bytes, `KEPT_OF_OVERSIZED` at most.
        tail: Its last bytes, `KEPT_OF_OVERSIZED` at most; never overlaps `head`.
    """

    __slots__ = ("head", "size", "tail")

    def __init__(self, size: int, head: bytes, tail: bytes) -> None:
        self.size = size
        self.head = head
        self.tail = tail

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OversizedFrame) and (self.size, self.head, self.tail) == (
            other.size,
            other.head,
            other.tail,
        )

    def __hash__(self) -> int:
        return hash((self.size, self.head, self.tail))

    def __repr__(self) -> str:
        return f"OversizedFrame({self.size} bytes)"


class EndOfStream:
    """The peer closed its end.

    Args:
        partial: Whether it did so in the middle of a frame.
    """

    __slots__ = ("partial",)

    def __init__(self, *, partial: bool) -> None:
        self.partial = partial

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EndOfStream) and self.partial == other.partial

    def __hash__(self) -> int:
        return hash(self.partial)

    def __repr__(self) -> str:
        return f"EndOfStream(partial={self.partial})"


class FrameDecoder:
    """Turns a stream of bytes, cut anywhere, into frames.

    Args:
        max_frame_size: Largest payload in bytes that is handed out.
    """

    def __init__(self, max_frame_size: int = DEFAULT_MAX_FRAME_SIZE) -> None:
        self.max_frame_size = max_frame_size
        # Most reads bring exactly one frame; only what is more or less than that is gathered in an array.
        self._buffer: bytes | bytearray = b""
        self._skipped: _Skipped | None = None
        self._closed = False

    def feed_data(self, data: "bytes | bytearray | memoryview") -> None:
        """Take the bytes of one read.

        Raises:
            LocalProtocolError: The stream was already declared ended.
        """
        if self._closed:
            raise LocalProtocolError("bytes were fed after feed_eof(); a stream ends once")
        if self._skipped is not None:
            data = self._skipped.take(data)
        if self._buffer:
            self._gather().extend(data)
        else:
            self._buffer = bytes(data)

    def feed_eof(self) -> None:
        """Declare that no more bytes will come."""
        self._closed = True

    def next_event(self) -> "Event":
        """Report the next thing that happened, or `NEED_DATA`.

        After the end of the stream every further call reports the end again.
        """
        skipped = self._skipped
        if skipped is not None:
            if skipped.missing:
                return EndOfStream(partial=True) if self._closed else NEED_DATA
            self._skipped = None
            return OversizedFrame(skipped.size, bytes(skipped.head), bytes(skipped.tail))
        buffer = self._buffer
        have = len(buffer)
        if have >= HEADER_SIZE:
            size = int.from_bytes(buffer[:HEADER_SIZE], "big")
            end = HEADER_SIZE + size
            if size > self.max_frame_size:
                return self._skip(size)
            if have == end:
                self._buffer = b""
                return Frame(bytes(buffer[HEADER_SIZE:]) if have < _COPIED_TWICE else _cut(buffer, HEADER_SIZE, end))
            if have > end:
                payload = _cut(buffer, HEADER_SIZE, end)
                del self._gather()[:end]  # an array drops its front in constant time
                return Frame(payload)
        if self._closed:
            return EndOfStream(partial=have > 0)
        return NEED_DATA

    def _skip(self, size: int) -> "Event":
        self._skipped = _Skipped(size)
        self._buffer = bytes(self._skipped.take(self._buffer[HEADER_SIZE:]))
        return self.next_event()

    def _gather(self) -> bytearray:
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
        return self._buffer


def _cut(buffer: "bytes | bytearray", start: int, end: int) -> bytes:
    """A part of the buffer, copied once: a slice of an array would be a copy already."""
    with memoryview(buffer) as view:
        return bytes(view[start:end])


class _Skipped:
    """An oversized frame on its way through."""

    __slots__ = ("head", "missing", "size", "tail")

    def __init__(self, size: int) -> None:
        self.size = size
        self.missing = size
        self.head = bytearray()
        self.tail = bytearray()

    def take(self, data: "bytes | bytearray | memoryview") -> "bytes | bytearray | memoryview":
        """Swallow what belongs to the frame and give back what follows it."""
        mine = data[: self.missing]
        self.missing -= len(mine)
        room = KEPT_OF_OVERSIZED - len(self.head)
        self.head += mine[:room]
        self.tail += mine[max(room, len(mine) - KEPT_OF_OVERSIZED) :]
        del self.tail[:-KEPT_OF_OVERSIZED]
        return data[len(mine) :]


def frame_header(size: int) -> bytes:
    """The four bytes that go before a payload of `size` bytes.

    Raises:
        LocalProtocolError: The length does not fit into them.
    """
    if size > LARGEST_SIZE:
        raise LocalProtocolError(f"a payload of {size} bytes does not fit into one frame (at most {LARGEST_SIZE})")
    return size.to_bytes(HEADER_SIZE, "big")


def encode_frame(payload: bytes) -> bytes:
    """A payload as a frame: its length, then its bytes."""
    return frame_header(len(payload)) + payload
