"""The host's own start: import everything, run one program, and wait for launchers.

Started by `contact`, with the socket that launchers connect to already listening.
"""

import gc
import os
import select
import signal
import socket
import stat
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import Any, Never

from dspex_testkit.host import contact
from dspex_testkit.host.messages import say
from dspex_testkit.host.orphans import adopt_orphans
from dspex_testkit.host.place import Owner, Unavailable
from dspex_testkit.runtime.scratch import remove_left_scratch

_LOOK_EVERY = 0.5
_LONGEST_IMPORT = 120.0
"""Seconds after which an import that hangs is given up."""


_ROUNDS = 16
"""Python rewrites a function that has run a few times, and with it the page that a worker would otherwise share."""
_WARM_UP: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ping", {}),
    ("configure_lm", {"provider": "mock"}),
    ("create_program", {"id": "warm-up", "signature": "question -> answer"}),
    ("execute_program", {"program_id": "warm-up", "inputs": {"question": "?"}}),
    ("get_stats", {}),
    ("reset_state", {}),
)


_IMPORTED_LATE = (
    "dspex_testkit.protocol.plain_json",
    "dspex_testkit.protocol.recovery",
    "dspex_testkit.host.supervisor",
    "dspex_testkit.runtime.loader",
    "dspex_testkit.runtime.processes",
    "dspex_testkit.runtime.serve",
    "dspex_testkit.runtime.watchdog",
)
"""What a bridge imports when it is first needed, so as to start quickly; a worker is to find it here."""


class Watch:
    """Looks after the owner while this process imports, without a thread: those would not survive a fork.

    Args:
        owner: Its descriptor, readable when it has ended.
        path: The socket that goes with this process.
    """

    def __init__(self, owner: int, path: str) -> None:
        self._poll = select.poll()
        self._poll.register(owner, select.POLLIN)
        self._path = path
        self._deadline = time.monotonic() + _LONGEST_IMPORT

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY, _LOOK_EVERY)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _look(self, *_: object) -> None:
        if self._poll.poll(0) or time.monotonic() > self._deadline:
            contact.take_away(self._path)
            os._exit(1)


def main() -> Never:
    """Become the host of the owner that the command line names."""
    pid, started, path, linger = sys.argv[1:]
    let_go_of_pipes()
    listener = socket.socket(fileno=contact.LISTENER)
    listener.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    if os.getsid(0) != os.getpid():
        os.setsid()
    try:
        owner = os.pidfd_open(int(pid))
        if Owner.find(int(pid)).started != started:
            raise ProcessLookupError
    except (OSError, Unavailable):
        contact.take_away(path)
        os._exit(0)
    try:
        with Watch(owner, path):
            remove_left_scratch()
            warm_up()
    except BaseException as error:
        _refuse_everybody(listener, f"the warm host cannot start: {type(error).__name__}: {error}")
        contact.take_away(path)
        os._exit(1)
    from dspex_testkit.host.supervisor import Supervisor

    Supervisor(listener, owner, path, linger=float(linger)).run()


def warm_up() -> None:
    """Import what bridges need, run one program, and put everything beyond the reach of garbage collections.

    A collection in a worker would otherwise touch, and so copy, every page that it shares with the others.
    """
    # Before anything imports them: no price list from the network, no threads that a fork would lose.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    gc.disable()
    from dspex_testkit.bridge import Bridge
    from dspex_testkit.protocol import Request, use_orjson
    from dspex_testkit.protocol.messages import encode_request, encode_response, parse_request
    from dspex_testkit.runtime import settings
    from dspex_testkit.runtime.library_log import hush_libraries

    for module in _IMPORTED_LATE:
        import_module(module)
    use_orjson()
    for _ in range(_ROUNDS):
        bridge = Bridge(settings.load(environ={}).for_bridge(), mode="pool-worker")
        for command, args in _WARM_UP:
            response = bridge.handle(parse_request(encode_request(Request(0, command, dict(args)))))
            if not response.success:
                raise RuntimeError(f"{command}: {response.message}")
            encode_response(response)
        bridge.close()
    del bridge, response
    hush_libraries()
    gc.collect()
    gc.freeze()
    gc.enable()
    _sort_free_memory()


def _sort_free_memory() -> None:
    """Have the C library put in order what the imports have freed.

    It does so at the next request of this size, and writes to each free piece; left undone, every worker would do it
    again with its very first lock, and copy some 300 pages.
    """
    bytearray(1 << 16)


def let_go_of_pipes() -> None:
    """Close inherited descriptors: a pipe never reaches its end while another process still holds it open."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > contact.LISTENER:
            with suppress(OSError):
                mode = os.fstat(fd).st_mode
                if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                    os.close(fd)


def _refuse_everybody(listener: socket.socket, reason: str) -> None:
    listener.setblocking(False)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            say(connection, refused=reason)


if __name__ == "__main__":
    main()
