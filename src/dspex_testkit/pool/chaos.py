"""Faults: what a client, a pipe or a process does when things go wrong.

A client that misbehaves: `send_garbage`, `send_short_frame`, `announce`, `hang_up`. A process that ends or hangs:
`kill`, `crash`, `freeze`. A bridge that misbehaves, by tampering with its answers: `lose`, `repeat`, `garble`,
`hold_back`.
"""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from dspex_testkit.errors import PoolError, UsageError, WorkerExitedError
from dspex_testkit.pool.process import BridgeProcess
from dspex_testkit.protocol import encode_frame

CRASH_PATIENCE = 30.0
"""Seconds in which a process that was told to end is gone, on a machine that is busy."""


def send_garbage(process: BridgeProcess, *, size: int = 64, seed: int = 0) -> bytes:
    """Send one packet of random bytes; returns them.

    The first byte is never 131, which would make it an Erlang term, nor one that begins JSON.
    """
    payload = b"\xfe" + random.Random(seed).randbytes(size - 1)
    process.send_bytes(encode_frame(payload))
    return payload


def send_short_frame(process: BridgeProcess, *, announced: int = 64, sent: bytes = b'{"id": 1') -> None:
    """Send the beginning of a packet; the next bytes will be taken for the rest of it."""
    process.send_bytes(announced.to_bytes(4, "big") + sent)


def announce(process: BridgeProcess, size: int) -> None:
    """Send the header of a packet and nothing of the packet.

    Args:
        process: Who is told.
        size: Bytes announced, up to 2**32 - 1.
    """
    process.send_bytes(size.to_bytes(4, "big"))


def hang_up(process: BridgeProcess) -> None:
    """Close the process's input, as a port does when the process that owned it ends."""
    process.close_stdin()


def kill(process: BridgeProcess) -> None:
    """Kill the process and wait until its end has been noticed.

    Raises:
        PoolError: It did not end.
    """
    process.kill()
    _wait_for_the_end(process)


def crash(process: BridgeProcess) -> None:
    """Have the bridge end itself in the middle of a command, without an answer, and wait for it.

    The bridge does so only if it was started with ``DSPEX_TESTKIT_ALLOW_CRASH=1``.

    Raises:
        UsageError: It was not, and has answered instead.
        PoolError: It did not end.
    """
    try:
        answer = process.ask("crash_worker", timeout=CRASH_PATIENCE)
    except WorkerExitedError:
        _wait_for_the_end(process)
        return
    raise UsageError(f"{process} did not crash: {answer.message}; start it with DSPEX_TESTKIT_ALLOW_CRASH=1")


@contextmanager
def freeze(process: BridgeProcess) -> Iterator[None]:
    """Suspend the process for the block: it neither answers nor reacts to a request to end.

    Behind a launcher a warm host's worker may go on working unseen; what it answers arrives when the block ends.
    """
    if process.pid is None:
        raise UsageError(f"{process} was not started, so it cannot be frozen")
    held: list[bytes] = []
    before = process.tamper
    process.tamper = _keep_in(held)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        # It may have been killed meanwhile.
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        process.tamper = before
        for payload in held:
            process.deliver(payload)


def lose(process: BridgeProcess, *, times: int = 1) -> None:
    """Let the next answers get lost."""
    _tamper(process, times, lambda payload: [])


def repeat(process: BridgeProcess, *, times: int = 1) -> None:
    """Let the next answers come twice."""
    _tamper(process, times, lambda payload: [payload, payload])


def garble(process: BridgeProcess, *, times: int = 1, seed: int = 0) -> None:
    """Put random bytes in the place of the next answers."""
    noise = random.Random(seed)
    _tamper(process, times, lambda payload: [b"\xfe" + noise.randbytes(len(payload))])


def hold_back(process: BridgeProcess) -> None:
    """Let the next answer arrive only together with the one after it, as that of a slow command does."""
    held: list[bytes] = []

    def tamper(payload: bytes) -> list[bytes]:
        held.append(payload)
        if len(held) == 1:
            return []
        process.tamper = None
        return held

    process.tamper = tamper


def _tamper(process: BridgeProcess, times: int, change: Callable[[bytes], Iterable[bytes]]) -> None:
    left = times
    lock = threading.Lock()

    def tamper(payload: bytes) -> Iterable[bytes]:
        nonlocal left
        with lock:
            left -= 1
            if left <= 0:
                process.tamper = None
        return change(payload)

    process.tamper = tamper


def _keep_in(held: list[bytes]) -> Callable[[bytes], Iterable[bytes]]:
    def tamper(payload: bytes) -> Iterable[bytes]:
        held.append(payload)
        return ()

    return tamper


def _wait_for_the_end(process: BridgeProcess) -> None:
    if not process.wait(CRASH_PATIENCE):
        raise PoolError(f"{process} should have ended, but still runs after {CRASH_PATIENCE:g} s")
