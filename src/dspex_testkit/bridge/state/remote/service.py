"""Answers the messages of workers from the store that they share."""

from collections.abc import Callable
from typing import Any

from dspex_testkit.bridge.state.remote.board import Board
from dspex_testkit.bridge.state.remote.rules import RULES, Rule
from dspex_testkit.bridge.state.remote.values import describe, pack, unpack
from dspex_testkit.bridge.state.store import StateStore
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.protocol import codec

_OBJECTS: dict[str, Callable[..., Any]] = {
    "store": lambda store: store,
    "journal": lambda store: store.journal,
    "accounts": lambda store: store.accounts,
    "counters": lambda store, lm_id: store.counters(lm_id),
    "deck": lambda store, settings: store.deck(settings),
}


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
        wait, method, of, args, *rest = call
        answer: dict[str, Any] = {}
        try:
            result = self._call(method, of, args, rest[0] if rest else {})
            if wait:
                answer = {"result": pack(result)}
        except Exception as error:
            answer = {"error": _describe(error)}
        if RULES.get(method) is Rule.CHANGES:
            resets, self._epoch = self.store.epoch - self._epoch, self.store.epoch
            self._board.show(resets=resets)
        return codec.dumps(answer) if wait else None

    def _call(self, name: str, of: list[Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        if RULES.get(name, Rule.HERE) is Rule.HERE:
            raise ValueError(f"{name!r} is nothing that travels")
        kind, _, method = name.partition(".")
        target = _OBJECTS[kind](self.store, *[unpack(arg) for arg in of])
        called = getattr(target, method)
        return called(*[unpack(arg) for arg in args], **{name: unpack(arg) for name, arg in kwargs.items()})


def _describe(error: Exception) -> dict[str, Any]:
    if isinstance(error, DSPexTestkitError):
        return describe(error)
    return {"class": "", "message": f"the shared state failed: {error!r}", "code": "internal_error", "details": {}}
