"""`RemoteStore`: the store as a worker of a pool sees it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from dspex_testkit.bridge.remote import rules
from dspex_testkit.bridge.remote.board import Board
from dspex_testkit.bridge.remote.values import pack, unpack
from dspex_testkit.bridge.state import StateStore
from dspex_testkit.calls import LMCall
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.protocol import codec
from dspex_testkit.protocol.frames import HEADER_SIZE, encode_frame

Step = str | list[Any]
"""One step from the store to the object that is meant: an attribute, or a method with its arguments."""

_MOST_REMEMBERED = 4096
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
            raise _error(answer["error"])
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


class RemoteJournal(RemoteObject):
    """The pool's journal."""

    def record(self, call: LMCall) -> LMCall:
        """Append a call. What comes back has no sequence number: nobody waits for the journal."""
        self._link.tell(self._path, "record", (call,), {})
        return call

    def __len__(self) -> int:
        return int(self.count())

    def __iter__(self) -> Iterator[LMCall]:
        return iter(self.calls())

    def __deepcopy__(self, memo: dict[int, Any]) -> "RemoteJournal":
        return self


class RemoteCounters(RemoteObject):
    """The pool's counters of one assignment."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "RemoteCounters":
        return self


class RemoteStore:
    """A `StateStore` in another process.

    What an execution reads is remembered until the board says that something changed, and no longer than
    `remembered_for`, so that the store sees that a session is in use.

    Args:
        link: Leads to the store.
        board: Says whether what was remembered still holds.
        remembered_for: Seconds.
    """

    def __init__(self, link: Link, board: Board, *, remembered_for: float = 1.0) -> None:
        self._link = link
        self._board = board
        self._remembered_for = remembered_for
        self._memory: dict[tuple[Any, ...], tuple[int, float, Any]] = {}
        for name in StateStore.__annotations__:
            setattr(self, name, RemoteJournal(link, [name]) if name == "journal" else RemoteObject(link, [name]))

    @property
    def epoch(self) -> int:
        """How often everything was forgotten, by any worker."""
        return self._board.epoch

    def settle(self) -> None:
        """Send what nobody waits for, before somebody can ask what became of it."""
        self._link.flush()

    def counters(self, lm_id: str) -> RemoteCounters:
        """The counters of one assignment."""
        return RemoteCounters(self._link, [["counters", lm_id]])

    def __getattr__(self, name: str) -> Any:
        """A method of the store."""
        if not hasattr(StateStore, name) or name.startswith("_"):
            raise AttributeError(f"a StateStore has no {name!r}")
        method = self._remembering(name) if name in rules.REMEMBERED else getattr(RemoteObject(self._link, []), name)
        setattr(self, name, method)
        return method

    def _remembering(self, name: str) -> Callable[..., Any]:
        board, memory = self._board, self._memory

        def method(*args: Any) -> Any:
            # Read before asking: an answer may be newer than it says, never older.
            generation, now = board.generation, time.monotonic()
            key = (name, *args)
            known = memory.get(key)
            if known is not None and known[0] == generation and now < known[1]:
                return known[2]
            value = self._link.ask([], name, args, {})
            if len(memory) >= _MOST_REMEMBERED:
                memory.clear()
            memory[key] = generation, now + self._remembered_for, value
            return value

        return method


def _message(wait: bool, path: list[Step], method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    # When it was said decides its place among what other workers say.
    content = [time.monotonic_ns(), wait, path, method, [pack(arg) for arg in args]]
    if kwargs:
        content.append({name: pack(arg) for name, arg in kwargs.items()})
    return content


def _error(data: dict[str, Any]) -> DSPexTestkitError:
    from dspex_testkit import errors

    kind = getattr(errors, data["class"], DSPexTestkitError)
    error: DSPexTestkitError = kind.__new__(kind)
    # Some classes are made from more than their message, which is all that travels.
    DSPexTestkitError.__init__(error, data["message"], details=data["details"])
    error.code = data["code"]  # type: ignore[misc]  # an error keeps its code wherever it is raised
    return error
