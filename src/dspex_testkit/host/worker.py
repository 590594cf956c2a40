"""What a fork of the host does to become the bridge that its launcher was asked to be."""

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Never

from dspex_testkit.bridge.state.remote.board import Board
from dspex_testkit.bridge.state.remote.client import RemoteStore
from dspex_testkit.bridge.state.remote.link import Link
from dspex_testkit.host.messages import HandOver
from dspex_testkit.protocol import encode_frame
from dspex_testkit.runtime.arguments import Arguments
from dspex_testkit.runtime.serve import serve
from dspex_testkit.runtime.settings import Settings
from dspex_testkit.runtime.shutdown import leave, leave_orphans_to_parent
from dspex_testkit.runtime.startup import start_up
from dspex_testkit.runtime.stdio import Wire


def become(launcher: socket.socket, state: socket.socket, board: Board) -> Never:
    """Receive arguments, environment and descriptors from the launcher, then run as that bridge.

    Args:
        launcher: Tells it, and is then left to the host.
        state: Leads to the state that the workers of a pool share.
        board: Says when that state changes.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    leave_orphans_to_parent()
    told = HandOver.receive(launcher) if _host_lives_until_told(launcher, state) else None
    launcher.close()
    if told is None:
        os._exit(0)
    wire = Wire(*told.descriptors)
    try:
        _adopt(told)
    except OSError as error:
        wire.complain(f"the working directory {told.cwd} cannot be entered: {error.strerror}")
        leave(2)
    arguments = Arguments("pool-worker" if told.mode == "pool-worker" else "standalone", told.worker_id, told.flags)

    process = start_up(wire, arguments, home=told.home, at=told.started)
    # Two standalone bridges of one owner have nothing to do with each other.
    store = _open_store(state, board, process.settings) if arguments.mode == "pool-worker" else None
    serve(process, unread=told.unread, answered=told.answered, store=store, host=state.fileno())


def _host_lives_until_told(launcher: socket.socket, state: socket.socket) -> bool:
    """Wait for the launcher's word. It waits for the host's, so one that was killed must not be waited for."""
    poll = select.poll()
    poll.register(launcher, select.POLLIN)
    poll.register(state, 0)
    return launcher.fileno() in dict(poll.poll())


def _adopt(told: HandOver) -> None:
    """Become what was launched in all that is not code."""
    _replace_environment(told.environment)
    os.umask(told.umask)
    if told.cwd is not None:
        os.chdir(told.cwd)
    sys.argv[:] = told.argv
    if told.path is not None:
        sys.path[:] = told.path
    # Unlike `random`, which sees to itself at a fork.
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()


def _replace_environment(environment: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _open_store(state: socket.socket, board: Board, settings: Settings) -> RemoteStore:
    kept = {"session_ttl": settings.session_ttl, "journal_size": settings.journal_size}
    state.sendall(encode_frame(json.dumps([[time.monotonic_ns(), settings.pool, kept]]).encode("ascii")))
    # It has to be asked now and then, or it would believe that a busy session is not in use.
    return RemoteStore(Link(state, lost=lambda: leave(1)), board, remembered_for=min(1.0, settings.session_ttl / 4))
