"""Frames come out the same however the stream is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.errors import LocalProtocolError
from dspex_testkit.protocol import (
    NEED_DATA,
    EndOfStream,
    Frame,
    FrameDecoder,
    NeedData,
    OversizedFrame,
    encode_frame,
    frame_header,
)

Event = Frame | OversizedFrame | EndOfStream | NeedData
LIMIT = 50
payloads = st.lists(st.binary(max_size=2 * LIMIT), max_size=6)


def events_of(chunks: list[bytes], limit: int = LIMIT) -> list[Event]:
    """Feed the chunks one by one, then the end, and collect what is reported."""
    decoder = FrameDecoder(limit)
    events: list[Event] = []
    for chunk in chunks:
        decoder.feed_data(chunk)
        while (event := decoder.next_event()) is not NEED_DATA:
            events.append(event)
    decoder.feed_eof()
    while not isinstance(event := decoder.next_event(), EndOfStream):
        events.append(event)
    return [*events, event]


def expected(payload: bytes, limit: int = LIMIT) -> Event:
    """What one packet is reported as."""
    return Frame(payload) if len(payload) <= limit else OversizedFrame(len(payload), payload, b"")


@given(payloads)
def test_frames_split_at_every_byte_give_the_same_events(items: list[bytes]) -> None:
    """One cut, wherever it is, changes nothing."""
    stream = b"".join(map(encode_frame, items))
    whole = [*map(expected, items), EndOfStream(partial=False)]
    for cut in range(len(stream) + 1):
        assert events_of([stream[:cut], stream[cut:]]) == whole


@given(payloads, st.data())
def test_arbitrary_chunkings_give_the_same_events(items: list[bytes], data: st.DataObject) -> None:
    """Any number of cuts, empty reads included, changes nothing."""
    stream = b"".join(map(encode_frame, items))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]
    assert events_of(chunks) == [*map(expected, items), EndOfStream(partial=False)]


@given(payloads, st.data())
def test_a_stream_that_ends_inside_a_frame_is_partial(items: list[bytes], data: st.DataObject) -> None:
    """The end is partial exactly when a frame was begun."""
    stream = b"".join(map(encode_frame, items))
    boundaries = {0}
    for item in items:
        boundaries.add(max(boundaries) + 4 + len(item))
    cut = data.draw(st.integers(0, len(stream)))
    assert events_of([stream[:cut]])[-1] == EndOfStream(partial=cut not in boundaries)


@given(st.binary(max_size=500))
def test_garbage_ends_without_an_exception(garbage: bytes) -> None:
    """Bytes that are no frames are reported as something, and then the stream ends."""
    assert isinstance(events_of([garbage])[-1], EndOfStream)


@pytest.mark.parametrize("chunk", [1, 3, 4096, 5000, 100_000])
def test_an_oversized_frame_keeps_its_ends_and_the_next_one_is_read(chunk: int) -> None:
    """Only the first and last few KiB of a frame that is too large are kept."""
    payload = bytes(range(256)) * 80
    stream = encode_frame(payload) + encode_frame(b"next")
    chunks = [stream[at : at + chunk] for at in range(0, len(stream), chunk)]
    assert events_of(chunks, limit=1000) == [
        OversizedFrame(len(payload), payload[:4096], payload[-4096:]),
        Frame(b"next"),
        EndOfStream(partial=False),
    ]


def test_an_oversized_frame_is_not_buffered() -> None:
    """A lying length costs no memory."""
    decoder = FrameDecoder(1000)
    decoder.feed_data(frame_header(0xFFFFFFFF))
    for _ in range(100):
        decoder.feed_data(b"x" * 65536)
        assert decoder.next_event() is NEED_DATA
    skipped = decoder._skipped
    assert skipped is not None
    assert len(decoder._buffer) + len(skipped.head) + len(skipped.tail) <= 8192


def test_a_frame_of_64_mib_survives() -> None:
    """Large payloads arrive in the pieces a pipe hands out."""
    payload = bytes(64 * 1024 * 1024)
    stream = memoryview(encode_frame(payload))
    decoder = FrameDecoder()
    for at in range(0, len(stream), 65536):
        assert decoder.next_event() is NEED_DATA
        decoder.feed_data(stream[at : at + 65536])
    assert decoder.next_event() == Frame(payload)
    assert decoder.next_event() is NEED_DATA


def test_an_empty_packet_is_a_frame() -> None:
    """Length zero is legal framing."""
    assert events_of([bytes(4), encode_frame(b"x")]) == [Frame(b""), Frame(b"x"), EndOfStream(partial=False)]


def test_the_end_is_reported_again_and_nothing_may_follow_it() -> None:
    """A stream ends once."""
    decoder = FrameDecoder()
    decoder.feed_eof()
    assert decoder.next_event() == decoder.next_event() == EndOfStream(partial=False)
    with pytest.raises(LocalProtocolError):
        decoder.feed_data(b"late")


def test_a_payload_beyond_the_header_is_refused() -> None:
    """What four bytes cannot say is never sent."""
    with pytest.raises(LocalProtocolError, match="4294967296 bytes"):
        frame_header(2**32)


def test_events_do_not_show_payloads() -> None:
    """A log line about an event carries no key."""
    assert "secret" not in repr(Frame(b"secret")) + repr(OversizedFrame(9, b"secret", b""))
