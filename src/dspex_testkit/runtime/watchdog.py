"""Notices that the client is gone, or that a signal came, while the main thread cannot.

A pool worker executes in the thread that reads, and a write blocks while nobody reads; in both the end of the stream
would be seen far too late. One thread sleeps in `poll` on the descriptors' hang-up conditions, which are reported
without reading anything, and ends the process when the time that an answer may still take is over.
"""

import os
import select
import threading
import time

from dspex_testkit.runtime.log import Log
from dspex_testkit.runtime.shutdown import GRACE, leave
from dspex_testkit.runtime.signals import SIGNALS
from dspex_testkit.runtime.stdio import Wire

_GONE = select.POLLHUP | select.POLLERR
# On a socket a peer that only stopped writing shows as this, where the system has it.
_HALF_CLOSED = getattr(select, "POLLRDHUP", 0)


def watch(wire: Wire, log: Log, signals: "int | None" = None, host: "int | None" = None) -> None:
    """Start the thread that waits for the end.

    Args:
        wire: Shows when the client is gone.
        log: Where it is written why the process ends.
        signals: Becomes readable with a signal.
        host: Hangs up when the process ends that holds the state.
    """
    threading.Thread(target=_wait_for_the_end, args=(wire, log, signals, host), name="watchdog", daemon=True).start()


def _wait_for_the_end(wire: Wire, log: Log, signals: "int | None", host: "int | None") -> None:
    poll = select.poll()
    poll.register(wire.fd_in, _HALF_CLOSED)
    poll.register(wire.fd_out, 0)
    if signals is not None:
        poll.register(signals, select.POLLIN)
    if host is not None:
        poll.register(host, 0)
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        events = poll.poll(left)
        if not events and deadline is not None:
            log.info("leaving: the client closed its end while work was still running")
            leave(0)
        for fd, event in events:
            if fd == signals and event & select.POLLIN:
                if any(number in SIGNALS for number in os.read(fd, 64)):
                    log.info("leaving on a signal")
                    leave(0)
            elif fd == host:
                log.error("leaving: the warm host has ended, and with it the state of the pool")
                leave(1)
            elif fd == wire.fd_out and event & _GONE:
                log.info("leaving: nobody reads the answers")
                leave(0)
            else:
                if fd == wire.fd_in and event & (_GONE | _HALF_CLOSED):
                    deadline = time.monotonic() + GRACE
                # A condition once seen stays; what cannot be polled at all would be reported for ever.
                poll.unregister(fd)
