"""`RemoteStore`: the store as a worker of a pool sees it."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.state.remote import rules
from dspex_testkit.bridge.state.remote.board import Board
from dspex_testkit.bridge.state.remote.deck import RemoteDeck
from dspex_testkit.bridge.state.remote.link import Link, RemoteObject
from dspex_testkit.bridge.state.remote.memory import Memory
from dspex_testkit.bridge.state.store import StateStore
from dspex_testkit.calls import LMCall

if TYPE_CHECKING:
    from dspex_testkit.cassettes.session_cassettes import DeckSettings


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
        self._memory = Memory(board, remembered_for)
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

    def deck(self, settings: "DeckSettings") -> RemoteDeck:
        """The pool's cassettes."""
        return RemoteDeck(self._link, settings, self._memory)

    def close(self) -> None:
        """Let go of nothing: cassettes are the pool's, and end with its last worker."""

    def __getattr__(self, name: str) -> Any:
        """A method of the store."""
        if not hasattr(StateStore, name) or name.startswith("_"):
            raise AttributeError(f"a StateStore has no {name!r}")
        method = self._remembering(name) if name in rules.REMEMBERED else getattr(RemoteObject(self._link, []), name)
        setattr(self, name, method)
        return method

    def _remembering(self, name: str) -> Callable[..., Any]:
        def method(*args: Any) -> Any:
            return self._memory.recall((name, *args), lambda: self._link.ask([], name, args, {}))

        return method
