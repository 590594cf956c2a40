"""SIGTERM and SIGINT end a bridge quietly."""

import os
import signal

from dspex_testkit.runtime.leaving import leave
from dspex_testkit.runtime.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def leave_on_signals(log: Log) -> int:
    """Install the handlers, from the main thread.

    Returns:
        A descriptor on which the number of each signal can be read: a main thread that is stuck outside of Python
        never gets to run a handler, but whoever polls this can leave in its place.
    """

    def handle(number: int, frame: "FrameType | None") -> None:
        log.info(f"leaving on {signal.Signals(number).name}")
        leave(0)

    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    for number in SIGNALS:
        signal.signal(number, handle)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable
