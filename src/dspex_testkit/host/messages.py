"""What a launcher, the host and a worker say to each other, over the launcher's one connection.

The host speaks in lines of JSON: ``{"worker": pid}`` once a worker waits for what it is to become, or
``{"refused": why}``; later ``{"exit": status}``, or ``{"lost": why}`` where the host itself has failed. The launcher
speaks once, to the worker: a `HandOver` with its descriptors beside it. Nothing of this is ever written down.
"""

import _socket as socket  # see `contact`
import os
import sys
import time

from dspex_testkit.host import light_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

LONGEST_SILENCE = 150.0
"""Seconds after which a host that was asked for a worker is taken for one that never answers; an import takes less."""

_SIZE_BYTES = 8
_INT_SIZE = 4
_MOST_DESCRIPTORS = 3
_READ_SIZE = 4096


class HandOver:
    """All that makes a process that has been started the process that was wanted.

    Args:
        mode: ``standalone`` or ``pool-worker``.
        worker_id: As given on the command line or learned from a ping.
        flags: Settings from the command line.
        home: Folder in which the settings file is looked for.
        argv: The command line.
        path: Where modules are looked for; None for where the host looks.
        cwd: Working directory; None where it has been removed.
        umask: Of the process.
        environment: All variables.
        started: `time.monotonic` when the launcher started.
        answered: Commands that were answered before.
        unread: Bytes that were read and not answered.
        descriptors: Input, output and, where there is one, the error stream.
    """

    __slots__ = (
        "answered",
        "argv",
        "cwd",
        "descriptors",
        "environment",
        "flags",
        "home",
        "mode",
        "path",
        "started",
        "umask",
        "unread",
        "worker_id",
    )

    def __init__(
        self,
        *,
        mode: str,
        worker_id: "str | None",
        flags: "Mapping[str, str]",
        home: "str | None",
        argv: "Sequence[str]",
        path: "Sequence[str] | None",
        cwd: "str | None",
        umask: int,
        environment: "Mapping[str, str]",
        started: float,
        answered: int,
        unread: bytes,
        descriptors: "Sequence[int]",
    ) -> None:
        self.mode = mode
        self.worker_id = worker_id
        self.flags = dict(flags)
        self.home = home
        self.argv = list(argv)
        self.path = None if path is None else list(path)
        self.cwd = cwd
        self.umask = umask
        self.environment = dict(environment)
        self.started = started
        self.answered = answered
        self.unread = unread
        self.descriptors = list(descriptors)

    @classmethod
    def of_this_process(
        cls,
        *,
        mode: str,
        worker_id: "str | None",
        flags: "Mapping[str, str]",
        home: "str | None",
        started: float,
        answered: int,
        unread: bytes,
        descriptors: "Sequence[int]",
    ) -> "HandOver":
        """What this process is, apart from what only its caller knows."""
        return cls(
            mode=mode,
            worker_id=worker_id,
            flags=flags,
            home=home,
            argv=sys.argv,
            path=sys.path,
            cwd=current_folder(),
            umask=_umask(),
            environment=os.environ,
            started=started,
            answered=answered,
            unread=unread,
            descriptors=descriptors,
        )

    def send(self, connection: socket.socket) -> None:
        """Give everything to the worker at the other end, descriptors included.

        Raises:
            OSError: It is gone.
        """
        content = {name: getattr(self, name) for name in self.__slots__ if name not in ("unread", "descriptors")}
        message = light_json.dumps(content)
        sizes = len(message).to_bytes(_SIZE_BYTES, "big") + len(self.unread).to_bytes(_SIZE_BYTES, "big")
        whole = sizes + message + self.unread
        passed = b"".join(fd.to_bytes(_INT_SIZE, sys.byteorder) for fd in self.descriptors)
        sent = connection.sendmsg([whole], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
        connection.sendall(memoryview(whole)[sent:])

    @classmethod
    def receive(cls, connection: socket.socket) -> "HandOver | None":
        """What the launcher at the other end gives; None if it went away instead.

        Raises:
            ValueError: It is no hand-over.
        """
        data, control, _, _ = connection.recvmsg(
            2 * _SIZE_BYTES, socket.CMSG_LEN(_MOST_DESCRIPTORS * _INT_SIZE), socket.MSG_CMSG_CLOEXEC
        )
        passed = b"".join(content for level, kind, content in control if kind == socket.SCM_RIGHTS)
        descriptors = [
            int.from_bytes(passed[start : start + _INT_SIZE], sys.byteorder)
            for start in range(0, len(passed), _INT_SIZE)
        ]
        sizes = data + _read(connection, 2 * _SIZE_BYTES - len(data)) if data else b""
        if len(sizes) < 2 * _SIZE_BYTES:
            return None
        message = _read(connection, int.from_bytes(sizes[:_SIZE_BYTES], "big"))
        unread_size = int.from_bytes(sizes[_SIZE_BYTES:], "big")
        unread = _read(connection, unread_size)
        if len(unread) < unread_size:
            return None
        return cls(**light_json.loads(message), unread=unread, descriptors=descriptors)


class Lines:
    """The host's lines, as they arrive.

    Args:
        connection: To the host.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""

    def next(self) -> "dict[str, Any] | None":
        """The next line, waited for; None where there will be none."""
        while b"\n" not in self._buffer:
            try:
                data = self.connection.recv(_READ_SIZE)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = light_json.loads(line)
        return message

    def next_within(self, seconds: float) -> "dict[str, Any] | None":
        """The same, for at most some seconds.

        Raises:
            TimeoutError: Nothing came.
        """
        deadline = time.monotonic() + seconds
        try:
            while b"\n" not in self._buffer:
                self.connection.settimeout(max(0.001, deadline - time.monotonic()))
                data = self.connection.recv(_READ_SIZE)
                if not data:
                    return None
                self._buffer += data
        except ConnectionError:
            return None
        finally:
            self.connection.settimeout(None)
        return self.next()


def say(connection: socket.socket, **message: object) -> None:
    """Write one message as a line of JSON; a connection that has gone away is ignored."""
    try:
        connection.sendall(light_json.dumps(message) + b"\n", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return


def current_folder() -> "str | None":
    """The working directory, if it still exists."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _umask() -> int:
    # The system call can only set it, for a moment also under other threads that create files.
    with open("/proc/self/status", "rb") as status:
        return next(int(line.split()[1], 8) for line in status if line.startswith(b"Umask:"))


def _read(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        try:
            data = connection.recv(min(size, 1 << 20))
        except ConnectionError:
            break
        if not data:
            break
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
