"""The way from a worker to the store: what is asked, what is told, and objects whose every method travels."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from dspex_testkit.bridge.state.remote import rules
from dspex_testkit.bridge.state.remote.values import pack, rebuild, unpack
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.protocol import codec
from dspex_testkit.protocol.frames import HEADER_SIZE, encode_frame

Step = str | list[Any]
"""One step from the store to the object that is meant: an attribute, or a method with its arguments."""

_MOST_UNSENT = 32


class StoreLostError(DSPexTestkitError):
    """The process that holds the state is gone."""

    code = "store_lost"


class Link:
    """The connection to the store.

    Args:
        connection: A stream socket, used by nobody else.
        lost: Called where the other end is gone; it may end the process.
    """

    def __init__(self, connection: socket.socket, *, lost: Callable[[], object] = lambda: None) -> None:
        self._connection = connection
        self._lost = lost
        self._lock = threading.Lock()
        self._told: list[list[Any]] = []

    def ask(self, path: list[Step], method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method and wait for what it returns.

        Raises:
            DSPexTestkitError: What the method raised.
            StoreLostError: Nobody is there to answer.
        """
        message = _message(True, path, method, args, kwargs)
        with self._lock:
            self._told.append(message)
            self._send()
            answer = codec.loads(self._receive())
        if "error" in answer:
            raise rebuild(answer["error"])
        return unpack(answer["result"])

    def tell(self, path: list[Step], method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Call a method without waiting; it is sent with what is asked next, or with `flush`.

        Raises:
            StoreLostError: Nobody is there to hear.
        """
        message = _message(False, path, method, args, kwargs)
        with self._lock:
            self._told.append(message)
            if len(self._told) >= _MOST_UNSENT:
                self._send()

    def flush(self) -> None:
        """Send what was told.

        Raises:
            StoreLostError: Nobody is there to hear.
        """
        if self._told:
            with self._lock:
                self._send()

    def _send(self) -> None:
        message, self._told = self._told, []
        try:
            self._connection.sendall(encode_frame(codec.dumps(message)))
        except OSError:
            raise self._gone() from None

    def _receive(self) -> bytes:
        return self._read(int.from_bytes(self._read(HEADER_SIZE), "big"))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                more = self._connection.recv(size - len(data))
            except OSError:
                more = b""
            if not more:
                raise self._gone()
            data += more
        return data

    def _gone(self) -> StoreLostError:
        self._lost()
        return StoreLostError("The warm host that held the state of this pool is gone; start the worker anew")


class RemoteObject:
    """Something that lives beside the store; every method of it travels."""

    def __init__(self, link: Link, path: list[Step]) -> None:
        self._link = link
        self._path = path

    def __getattr__(self, name: str) -> Any:
        """A method of it."""
        if name.startswith("_"):
            raise AttributeError(name)
        link, path = self._link, self._path
        call = link.tell if name in rules.TOLD else link.ask

        def method(*args: Any, **kwargs: Any) -> Any:
            return call(path, name, args, kwargs)

        setattr(self, name, method)
        return method


def _message(wait: bool, path: list[Step], method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    # When it was said decides its place among what other workers say.
    content = [time.monotonic_ns(), wait, path, method, [pack(arg) for arg in args]]
    if kwargs:
        content.append({name: pack(arg) for name, arg in kwargs.items()})
    return content
