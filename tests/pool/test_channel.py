"""Frames travel whole, in order, and without holding anybody up."""

import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from dspex_testkit.pool.channel import Channel
from dspex_testkit.protocol import encode_frame
from tests.support.waiting import PATIENCE


@dataclass
class Line:
    """A channel whose far ends are in the test's hands."""

    far_in: int
    far_out: int
    payloads: "queue.Queue[bytes]" = field(default_factory=queue.Queue)
    garbage: "queue.Queue[str]" = field(default_factory=queue.Queue)
    ended: threading.Event = field(default_factory=threading.Event)
    channel: Channel = field(init=False)


@pytest.fixture
def line() -> Iterator[Line]:
    """A channel between two pipes."""
    far_in, stdin = os.pipe()
    stdout, far_out = os.pipe()
    line = Line(far_in, far_out)
    line.channel = Channel(
        stdin,
        stdout,
        name="test",
        on_payload=line.payloads.put,
        on_garbage=line.garbage.put,
        on_end=line.ended.set,
    )
    yield line
    line.channel.close()
    for fd in {line.far_in, line.far_out} - {-1}:
        os.close(fd)


def test_sending_does_not_wait_for_a_reader(line: Line) -> None:
    """Far more than a pipe holds is taken at once, and arrives in order once somebody reads."""
    frames = [encode_frame(bytes([number]) * 300_000) for number in range(5)]
    for frame in frames:
        line.channel.send(frame)

    wanted = b"".join(frames)
    received = b""
    while len(received) < len(wanted):
        received += os.read(line.far_in, 1 << 20)

    assert received == wanted


def test_packets_that_arrive_in_pieces_are_delivered_whole(line: Line) -> None:
    """However the stream is cut."""
    for byte in encode_frame(b"one") + encode_frame(b"two"):
        os.write(line.far_out, bytes([byte]))

    assert [line.payloads.get(timeout=PATIENCE) for _ in range(2)] == [b"one", b"two"]


def test_the_end_of_the_stream_is_reported_once(line: Line) -> None:
    """A packet that was cut short is reported as garbage before."""
    os.write(line.far_out, encode_frame(b"whole")[:-1])
    os.close(line.far_out)
    line.far_out = -1

    assert line.ended.wait(PATIENCE)
    assert "beginning of a packet" in line.garbage.get_nowait()
    assert line.payloads.empty()


def test_a_reader_that_is_gone_is_an_error(line: Line) -> None:
    """Also when its end is noticed only after something was left to be written."""
    os.close(line.far_in)
    line.far_in = -1

    with pytest.raises(ConnectionError):
        line.channel.send(encode_frame(b"x"))
    with pytest.raises(ConnectionError):
        line.channel.send(encode_frame(b"x"))


def test_closing_ends_the_thread_though_the_peer_lives(line: Line) -> None:
    """Nothing that the peer does, or does not do, keeps it."""
    line.channel.close()

    assert line.ended.is_set()
    assert os.read(line.far_in, 10) == b"", "the peer sees the end of its input"
    line.channel.close()
