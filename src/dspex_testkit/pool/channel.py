"""The two pipes of a process, served by one thread.

Sending never blocks: what the pipe does not take at once is written when the process reads on, so a caller's time
limit is about the answer alone, and an event loop is never held up. Frames go out whole and in order.
"""

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress

from dspex_testkit.protocol import NEED_DATA, EndOfStream, Frame, FrameDecoder, OversizedFrame

_READ_SIZE = 1 << 16


class Channel:
    """Carries frames between this process and another one.

    Args:
        stdin: Descriptor that writes to the process; owned by the channel.
        stdout: Descriptor that reads from it; owned by the channel.
        name: Of the thread, for a debugger.
        on_payload: Called with the payload of each packet.
        on_garbage: Called with a description of what is no packet that could be read.
        on_end: Called once, when the process will send nothing more.
    """

    def __init__(
        self,
        stdin: int,
        stdout: int,
        *,
        name: str,
        on_payload: Callable[[bytes], None],
        on_garbage: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> None:
        self._stdin: int | None = stdin
        self._stdout = stdout
        self._on_payload = on_payload
        self._on_garbage = on_garbage
        self._on_end = on_end
        self._decoder = FrameDecoder()
        self._outbox = bytearray()
        self._lock = threading.Lock()
        self._stopped = False
        os.set_blocking(stdin, False)
        self._wakeup, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def send(self, data: bytes) -> None:
        """Write bytes, now or as soon as there is room.

        Raises:
            ConnectionError: The process does not read any more, or its input was closed.
        """
        with self._lock:
            if self._stdin is None:
                raise BrokenPipeError("the pipe to the process is closed")
            self._outbox += data
            if len(self._outbox) == len(data):
                self._flush()
            if self._outbox:
                self._rouse()

    def close_input(self) -> None:
        """Close the process's standard input; what was not yet written is dropped."""
        with self._lock:
            self._close_stdin()

    def close(self) -> None:
        """Give up both pipes and end the thread."""
        with self._lock:
            self._stopped = True
            self._close_stdin()
            self._rouse()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _flush(self) -> None:
        assert self._stdin is not None
        try:
            while self._outbox:
                del self._outbox[: os.write(self._stdin, self._outbox)]
        except BlockingIOError:
            return
        except ConnectionError:
            self._close_stdin()
            raise

    def _close_stdin(self) -> None:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
            self._outbox.clear()

    def _rouse(self) -> None:
        if self._wake >= 0:
            os.write(self._wake, b"\0")

    def _serve(self) -> None:
        try:
            while not self._stopped and self._turn():
                pass
        finally:
            with self._lock:
                self._close_stdin()
                for fd in (self._stdout, self._wakeup, self._wake):
                    os.close(fd)
                self._wake = -1
            self._on_end()

    def _turn(self) -> bool:
        """Wait for one thing to happen and see to it; false at the end of the stream."""
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        with self._lock:
            if self._outbox and self._stdin is not None:
                poll.register(self._stdin, select.POLLOUT)
        ready = {fd for fd, _ in poll.poll()}
        if self._wakeup in ready:
            os.read(self._wakeup, _READ_SIZE)
        with self._lock, suppress(ConnectionError):
            if self._outbox and self._stdin is not None:
                self._flush()
        return self._stdout not in ready or self._receive()

    def _receive(self) -> bool:
        data = os.read(self._stdout, _READ_SIZE)
        if data:
            self._decoder.feed_data(data)
        else:
            self._decoder.feed_eof()
        while (event := self._decoder.next_event()) is not NEED_DATA:
            if isinstance(event, Frame):
                self._on_payload(event.payload)
            elif isinstance(event, OversizedFrame):
                self._on_garbage(f"a packet of {event.size} bytes, more than the {self._decoder.max_frame_size} taken")
            elif isinstance(event, EndOfStream):
                if event.partial:
                    self._on_garbage("the beginning of a packet, and then the end of the stream")
                return False
        return True
