"""What a process wrote to its standard error, kept for the moment when something goes wrong."""

import os
import tempfile
import threading
from typing import IO

_TAIL = 4000
"""Bytes of the log that an error shows."""


class ErrorLog:
    """A nameless file that a process writes its standard error to.

    A file never fills up as a pipe does, and nobody has to read it as long as all is well.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._text = b""
        # One caller may still be told why its command failed while another one stops the process.
        self._lock = threading.Lock()

    def open(self) -> int:
        """Make the file; gives the descriptor for the process."""
        # Appended to, because processes that inherit the descriptor share it.
        self._file = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115  # closed by `close`
        return self._file.fileno()

    def read(self) -> str:
        """All of it."""
        return self._bytes().decode(errors="replace")

    def tail(self) -> str:
        """The end of it, in whole lines."""
        data = self._bytes()
        if len(data) > _TAIL:
            data = data[-_TAIL:].partition(b"\n")[2]
        return data.decode(errors="replace").rstrip()

    def close(self) -> None:
        """Give the file back; the text stays readable."""
        with self._lock:
            if self._file is not None:
                self._text = _content(self._file)
                self._file.close()
                self._file = None

    def _bytes(self) -> bytes:
        with self._lock:
            return self._text if self._file is None else _content(self._file)


def _content(file: IO[bytes]) -> bytes:
    fd = file.fileno()
    return os.pread(fd, os.fstat(fd).st_size, 0)
