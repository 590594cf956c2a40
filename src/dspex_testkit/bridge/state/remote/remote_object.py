"""`RemoteObject`: something beside the store, whose methods travel as `rules` say."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from dspex_testkit.bridge.state.remote.link import Link
from dspex_testkit.bridge.state.remote.memory import Memory
from dspex_testkit.bridge.state.remote.rules import RULES, Rule

P = ParamSpec("P")
R = TypeVar("R")


class RemoteObject:
    """The base of what a worker sees of the store.

    Subclasses say each method once more and pass the one of the protocol on, so that a type checker compares arguments
    and result with it.

    Args:
        link: Leads to the store.
        memory: Of this worker.
        kind: The object's name in `RULES`.
        of: Which of several such objects is meant, packed.
        key: The same, to remember answers by.
    """

    def __init__(
        self, link: Link, memory: Memory, kind: str, of: Sequence[Any] = (), key: Hashable | None = None
    ) -> None:
        self._link = link
        self._memory = memory
        self._kind = kind
        self._of = of
        self._key = key

    def _call(self, method: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the method answers: asked, or remembered."""
        name = f"{self._kind}.{method.__name__}"
        if RULES[name] is Rule.REMEMBERED:
            key = (name, self._key, *args, *kwargs.items())
            return cast(R, self._memory.recall(key, lambda: self._ask(name, args, kwargs)))
        return cast(R, self._ask(name, args, kwargs))

    def _tell(self, method: Callable[Concatenate[Any, P], Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have the method called, some time before anything is asked."""
        self._link.tell(f"{self._kind}.{method.__name__}", self._of, args, kwargs)

    def _ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._link.ask(name, self._of, args, kwargs)
