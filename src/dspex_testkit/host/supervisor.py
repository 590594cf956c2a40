"""The host's loop: it forks workers, reaps them, and serves the state that they share.

One thread, one `poll`, over the listening socket, the owner, the workers' ends, their launchers and the sockets of
the shared store. For each launcher that connects it forks: the child reads from the connection what it is to be, and
becomes the worker. The host reads nothing there. It only notices when the launcher goes away, and tells it how the
worker ended. It never waits for a client either: what a worker does not take at once is kept until its socket is
writable again.

The loop ends when the owner has ended, or when there has been no worker for `linger` seconds.
"""

import errno
import os
import select
import signal
import socket
import time
from typing import Never

from dspex_testkit.bridge.state.remote.board import Board
from dspex_testkit.host import worker
from dspex_testkit.host.contact import lock, peer_user, take_away
from dspex_testkit.host.messages import say
from dspex_testkit.host.orphans import end_leftovers
from dspex_testkit.host.place import Unavailable
from dspex_testkit.host.store_server import StoreServer
from dspex_testkit.runtime.scratch import remove_left_scratch

_GONE = select.POLLHUP | select.POLLERR | select.POLLRDHUP
_TIME_TO_LEAVE = 0.3
"""Seconds between asking a worker to end and ending it."""


class Child:
    """A worker, as its host sees it.

    Args:
        pid: Its process.
        launcher: The connection to whoever stands in front of it.
        state: The connection to its `RemoteStore`.
    """

    def __init__(self, pid: int, launcher: socket.socket, state: socket.socket) -> None:
        self.pid = pid
        self.launcher = launcher
        self.state = state
        self.ended = os.pidfd_open(pid)
        self.kill_at: float | None = None

    def let_go(self) -> None:
        """Close what leads to the worker."""
        self.state.close()
        os.close(self.ended)

    def close(self) -> None:
        """Close every descriptor."""
        self.let_go()
        self.launcher.close()


class Supervisor:
    """Forks and looks after the workers of one owner.

    Args:
        listener: Where launchers connect.
        owner: A descriptor that is readable once the owner has ended.
        path: Of the listening socket.
        linger: Seconds that it stays without a worker.
    """

    def __init__(self, listener: socket.socket, owner: int, path: str, *, linger: float) -> None:
        self._listener = listener
        self._listener.setblocking(False)
        self._owner = owner
        self._path = path
        self._linger = linger
        self._children: dict[int, Child] = {}
        self._board = Board()
        self._poll = select.poll()
        self._poll.register(self._listener, select.POLLIN)
        self._poll.register(self._owner, select.POLLIN)
        self._store_server = StoreServer(self._board, self._poll)
        self._idle_since = time.monotonic()
        self._reserve = os.open(os.devnull, os.O_RDONLY)
        """Given up for the moment in which somebody has to be told that there are no descriptors left."""

    def run(self) -> Never:
        """Serve until the owner ends, or there has been no worker for `linger` seconds."""
        try:
            while True:
                self._turn()
        except Exception as error:
            # There is nobody else to tell.
            for child in self._children.values():
                say(child.launcher, lost=f"{type(error).__name__}: {error}")
            take_away(self._path)
            os._exit(1)

    def _turn(self) -> None:
        ready = dict(self._poll.poll(0 if self._store_server.busy else self._time_left()))
        if self._owner in ready:
            self._leave()
        self._store_server.serve(ready)
        for child in list(self._children.values()):
            if child.ended in ready:
                self._reap(child)
            elif ready.get(child.launcher.fileno(), 0) & _GONE and child.kill_at is None:
                self._poll.unregister(child.launcher)
                os.kill(child.pid, signal.SIGTERM)
                child.kill_at = time.monotonic() + _TIME_TO_LEAVE
        if self._listener.fileno() in ready:
            self._accept()
        self._keep_time()

    # Time

    def _time_left(self) -> float:
        """Milliseconds until something has to be done that nobody will call for."""
        deadlines = [child.kill_at for child in self._children.values() if child.kill_at is not None]
        if not self._children:
            deadlines.append(self._idle_since + self._linger)
        return max(0.0, min(deadlines) - time.monotonic()) * 1000 + 1 if deadlines else -1

    def _keep_time(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.kill_at is not None and now >= child.kill_at:
                os.kill(child.pid, signal.SIGKILL)
                child.kill_at = now + _TIME_TO_LEAVE
        if not self._children and now >= self._idle_since + self._linger:
            try:
                held = lock(os.path.dirname(self._path))
            except (OSError, Unavailable):
                os._exit(0)
            # Nobody can start another host meanwhile; whoever has connected to this one is served.
            self._accept()
            if not self._children:
                os.close(held)
                self._leave()
            os.close(held)

    def _leave(self) -> Never:
        """End; workers see that their state is gone, and end too."""
        take_away(self._path)
        os._exit(0)

    # Forking

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.EMFILE and self._turn_away(error):
                    continue
                return
            connection.setblocking(True)
            if peer_user(connection) == os.geteuid():
                self._fork(connection)
            else:
                connection.close()

    def _turn_away(self, error: OSError) -> bool:
        """Tell the next launcher that there are no descriptors left; else it would wait for ever, and be called for."""
        os.close(self._reserve)
        try:
            connection, _ = self._listener.accept()
            _refuse(connection, error)
        except OSError:
            return False
        finally:
            self._reserve = os.open(os.devnull, os.O_RDONLY)
        return True

    def _fork(self, launcher: socket.socket) -> None:
        try:
            threads = len(os.listdir("/proc/self/task"))
            if threads != 1:
                _refuse(launcher, f"the warm host has {threads} threads and cannot be forked")
                return
            ours, theirs = socket.socketpair()
        except OSError as error:
            _refuse(launcher, error)
            return
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            _refuse(launcher, error)
            return
        if pid == 0:
            try:
                ours.close()
                self._forget()
                worker.become(launcher, theirs, self._board)
            finally:
                os._exit(1)
        theirs.close()  # which leaves room for the descriptor of the process
        self._store_server.add(ours)
        child = self._children[pid] = Child(pid, launcher, ours)
        self._poll.register(child.ended, select.POLLIN)
        self._poll.register(launcher, select.POLLRDHUP)
        say(launcher, worker=pid)

    def _forget(self) -> None:
        """Close, in a worker, what belongs to the host."""
        self._listener.close()
        os.close(self._owner)
        os.close(self._reserve)
        for child in self._children.values():
            child.close()

    def _reap(self, child: Child) -> None:
        """Reap a worker that has ended, end what it left behind, and tell its launcher how it ended."""
        status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        self._store_server.remove(child.state, orderly=status == 0)
        del self._children[child.pid]
        self._poll.unregister(child.ended)
        child.let_go()  # what follows needs a descriptor
        end_leftovers(child.pid, known=self._children)
        if status:
            remove_left_scratch()
        say(child.launcher, exit=128 - status if status < 0 else status)
        if child.kill_at is None:
            self._poll.unregister(child.launcher)
        child.launcher.close()
        self._idle_since = time.monotonic()


def _refuse(launcher: socket.socket, reason: OSError | str) -> None:
    """Have a launcher run its bridge by itself."""
    say(launcher, refused=reason if isinstance(reason, str) else f"the warm host cannot be forked: {reason.strerror}")
    launcher.close()
