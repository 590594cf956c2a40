"""Descriptors 0 and 1 belong to frames alone.

The first thing a bridge does is to move them to private descriptors. What is left at 0 is ``/dev/null``, what is left
at 1 and 2 is the log (or ``/dev/null``), so whatever a library prints, from Python, from C or from a child process,
cannot shift a frame. They are never given back.
"""

import _thread
import errno
import io
import os
import select
import sys

from dspex_testkit.protocol import frame_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    pass

READ_SIZE = 1 << 16
"""What a pipe holds on Linux; a larger read would return no more."""
_COPIED_BEHIND_HEADER = 1 << 20


class Wire:
    """The two private descriptors that frames travel on.

    Args:
        fd_in: Read by one thread only.
        fd_out: Written by any thread, one frame at a time.
        fd_err: The error stream as it was at the start, for the one message of a process that cannot go on.
    """

    __slots__ = ("_lock", "fd_err", "fd_in", "fd_out")

    def __init__(self, fd_in: int, fd_out: int, fd_err: "int | None" = None) -> None:
        self.fd_in = fd_in
        self.fd_out = fd_out
        self.fd_err = fd_err
        self._lock = _thread.allocate_lock()

    def read(self) -> bytes:
        """Wait for bytes; none means that the peer closed its end."""
        while True:
            try:
                return os.read(self.fd_in, READ_SIZE)
            except BlockingIOError:
                _wait(self.fd_in, select.POLLIN)
            except ConnectionError:
                return b""

    def send(self, payload: bytes) -> None:
        """Write one frame, all of it.

        Raises:
            ConnectionError: Nobody reads any more.
        """
        header = frame_header(len(payload))
        with self._lock:
            if len(payload) <= _COPIED_BEHIND_HEADER:
                self._write(header + payload)
            else:
                self._write(header)
                self._write(payload)

    def _write(self, data: "bytes | memoryview") -> None:
        while data:
            try:
                # Takes up again by itself after a signal, but a pipe may take less than all.
                written = os.write(self.fd_out, data)
            except BlockingIOError:
                _wait(self.fd_out, select.POLLOUT)
            else:
                if written == len(data):
                    return
                data = memoryview(data)[written:]

    def complain(self, text: str) -> None:
        """Say on the original error stream why the process ends."""
        if self.fd_err is None:
            return
        try:
            os.write(self.fd_err, f"dspex-bridge: {text.rstrip()}\n".encode("utf-8", "replace"))
        except OSError:
            return


def claim() -> Wire:
    """Reserve descriptors 0 and 1 for frames, so that nothing else in the process reads or writes them.

    Raises:
        OSError: One of them was closed when the process started.
    """
    closed = fill_closed()
    if 0 in closed or 1 in closed:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    fd_in = os.dup(0)
    fd_out = os.dup(1)
    fd_err = None if 2 in closed else os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    return Wire(fd_in, fd_out, fd_err)


class _LossyFile(io.FileIO):
    """Takes everything; what cannot be written is lost."""

    def write(self, data: "Any") -> int:
        """Write what can be written."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def lossy_stream(fd: int) -> io.TextIOWrapper:
    """A stream for a descriptor that stays open, into which anything can be printed without an error."""
    file = io.BufferedWriter(_LossyFile(fd, "w", closefd=False))
    # By lines: the process ends without winding down, so what waited in a buffer would never be seen.
    return io.TextIOWrapper(file, encoding="utf-8", errors="replace", line_buffering=True)


def fill_closed() -> "list[int]":
    """Put ``/dev/null`` where standard input, output or error were closed, and tell which of them were.

    Else the next file or socket would get that number, and be taken for the stream by whoever prints, or be closed
    with it.
    """
    closed = []
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            closed.append(fd)
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    return closed


def open_log(wire: Wire, target: str) -> "int | None":
    """Send descriptors 1 and 2, and with them every stray print, to where the log goes.

    Args:
        wire: Of the claimed process.
        target: ``off``, ``stderr`` or a path.

    Returns:
        A descriptor for log lines; None where there is no log.

    Raises:
        OSError: The path cannot be opened for appending.
    """
    # A program must not fail because it prints, be the log's disk full, or the descriptor closed at the start.
    sys.stdout, sys.stderr = lossy_stream(1), lossy_stream(2)
    if target == "off":
        return None
    if target == "stderr":
        if wire.fd_err is None:
            return None
        source = wire.fd_err
    else:
        source = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(source, 1)
    os.dup2(source, 2)
    if source != wire.fd_err:
        os.close(source)
    return 2


def _wait(fd: int, event: int) -> None:
    # Only a descriptor that somebody else made non-blocking comes here.
    poll = select.poll()
    poll.register(fd, event)
    poll.poll()
