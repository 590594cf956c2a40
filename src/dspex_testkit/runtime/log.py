"""The bridge's own log lines, written without `logging`, which costs more to import than the first ping may take."""

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS = ("debug", "info", "warning", "error")


class Log:
    """Appends lines to a descriptor, or drops them.

    Args:
        fd: Where lines go; None drops them.
        level: The least important level that is written.
    """

    def __init__(self, fd: "int | None" = None, level: str = "info") -> None:
        self.fd = fd
        self.level = level
        self.scrub: Callable[[str], str] = str
        """Takes keys out of a text; the bridge knows them, once there is one."""
        self._least = LEVELS.index(level)

    def write(self, level: str, text: str) -> None:
        """Write one entry; a log that cannot be written never stops the bridge."""
        if self.fd is None or LEVELS.index(level) < self._least:
            return
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {level.upper()} [{os.getpid()}] {self.scrub(text.rstrip())}\n"
        try:
            os.write(self.fd, line.encode("utf-8", "replace"))
        except OSError:
            return

    def debug(self, text: str) -> None:
        """Write a line at level debug."""
        self.write("debug", text)

    def info(self, text: str) -> None:
        """Write what happens in the ordinary life of a bridge."""
        self.write("info", text)

    def warning(self, text: str) -> None:
        """Write what a client did wrong, or what may surprise."""
        self.write("warning", text)

    def error(self, text: str) -> None:
        """Write a failure of ours."""
        self.write("error", text)


def current_traceback() -> str:
    """The exception being handled, for a log entry."""
    import traceback

    return traceback.format_exc()
