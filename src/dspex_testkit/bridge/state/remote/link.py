"""The way from a worker to the store: what is asked and what is told."""

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dspex_testkit.bridge.state.remote.values import pack, rebuild, unpack
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.protocol import codec
from dspex_testkit.protocol.frames import HEADER_SIZE, encode_frame

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

    def ask(self, method: str, of: Sequence[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call a method and wait for what it returns.

        Args:
            method: Object and method, as in `rules.RULES`.
            of: Which of several such objects is meant: what the store gives it for, packed.
            args: The method's arguments.
            kwargs: Those by name.

        Raises:
            DSPexTestkitError: What the method raised.
            StoreLostError: Nobody is there to answer.
        """
        message = _message(True, method, of, args, kwargs)
        with self._lock:
            self._told.append(message)
            self._send()
            answer = codec.loads(self._receive(), trusted=True)
        if "error" in answer:
            raise rebuild(answer["error"])
        return unpack(answer["result"])

    def tell(self, method: str, of: Sequence[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Call a method without waiting; it is sent with what is asked next, or with `flush`.

        Raises:
            StoreLostError: Nobody is there to hear.
        """
        message = _message(False, method, of, args, kwargs)
        with self._lock:
            self._told.append(message)
            if len(self._told) >= _MOST_UNSENT:
                self._send()

    def flush(self) -> None:
        """Send the messages that are waiting to be sent.

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


def _message(wait: bool, method: str, of: Sequence[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    # When it was said decides its place among what other workers say.
    content = [time.monotonic_ns(), wait, method, list(of), [pack(arg) for arg in args]]
    if kwargs:
        content.append({name: pack(arg) for name, arg in kwargs.items()})
    return content
