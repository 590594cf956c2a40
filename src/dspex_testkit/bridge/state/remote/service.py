"""Answers the messages of workers from the store that they share."""

from typing import Any

from dspex_testkit.bridge.state.remote import rules
from dspex_testkit.bridge.state.remote.board import Board
from dspex_testkit.bridge.state.remote.values import describe, pack, unpack
from dspex_testkit.bridge.state.store import StateStore
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.protocol import codec


class StoreService:
    """One store for many workers.

    Args:
        store: Holds the state.
        board: Tells the workers of changes.
    """

    def __init__(self, store: StateStore, board: Board) -> None:
        self.store = store
        self._board = board
        self._epoch = store.epoch

    def answer(self, call: list[Any]) -> bytes | None:
        """Do what a worker's message says.

        Args:
            call: The message, read, without the time at which it was sent.

        Returns:
            What to send back; None where nobody waits.
        """
        wait, path, method, args, *rest = call
        answer: dict[str, Any] = {}
        try:
            result = self._call(path, method, args, rest[0] if rest else {})
            if wait:
                answer = {"result": pack(result)}
        except Exception as error:
            answer = {"error": _describe(error)}
        if method not in rules.UNNOTICED:
            resets, self._epoch = self.store.epoch - self._epoch, self.store.epoch
            self._board.show(resets=resets)
        return codec.dumps(answer) if wait else None

    def _call(self, path: list[Any], method: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        target: Any = self.store
        for step in path:
            name, *given = [step] if isinstance(step, str) else step
            target = _public(target, name)
            if not isinstance(step, str):
                target = target(*[unpack(arg) for arg in given])
        called = _public(target, method)
        return called(*[unpack(arg) for arg in args], **{name: unpack(arg) for name, arg in kwargs.items()})


def _public(target: Any, name: str) -> Any:
    if name.startswith("_"):
        raise ValueError(f"{name!r} is nobody else's")
    return getattr(target, name)


def _describe(error: Exception) -> dict[str, Any]:
    if isinstance(error, DSPexTestkitError):
        return describe(error)
    return {"class": "", "message": f"the shared state failed: {error!r}", "code": "internal_error", "details": {}}
