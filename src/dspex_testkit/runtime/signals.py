"""SIGTERM and SIGINT end a bridge quietly."""

import os

from dspex_testkit.runtime.log import Log
from dspex_testkit.runtime.shutdown import leave

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType
else:
    import _signal as signal  # the module without the underscore first makes enumerations, for a millisecond

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def leave_on_signals(log: Log) -> int:
    """Install the handlers, from the main thread.

    Returns:
        A descriptor on which the number of each signal can be read: a main thread that is stuck outside of Python
        never gets to run a handler, but whoever polls this can leave in its place.
    """

    def handle(number: int, frame: "FrameType | None") -> None:
        log.info(f"leaving on {'SIGTERM' if number == signal.SIGTERM else 'SIGINT'}")
        leave(0)

    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    for number in SIGNALS:
        signal.signal(number, handle)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def only_tell() -> None:
    """From now on a signal does nothing but arrive on the descriptor."""
    for number in SIGNALS:
        signal.signal(number, _do_nothing)


def kill(process: int) -> None:
    """End the process behind a descriptor, if it has not ended yet."""
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _do_nothing(number: int, frame: "FrameType | None") -> None:
    return None
