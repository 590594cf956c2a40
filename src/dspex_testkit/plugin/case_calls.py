"""The LM calls of one test, from every bridge and every LM that it used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspex_testkit.calls import Journal, LMCall, LMChange
    from dspex_testkit.plugin.facade import BridgeFixture


class CaseCalls:
    """Collects calls, and changes of who answers, as one sequence.

    Args:
        bridges: The test's bridges, as they come.
        with_prompts: Whether calls are to come with their prompts, some kilobytes each.
    """

    def __init__(self, bridges: "Sequence[BridgeFixture]", *, with_prompts: bool) -> None:
        self.with_prompts = with_prompts
        self._bridges = bridges
        self._journal: Journal | None = None
        self._kept: list[LMCall | LMChange] = []
        self._forgotten = 0

    @property
    def journal(self) -> "Journal":
        """Where LMs of this process write, apart from those of bridges."""
        if self._journal is None:
            from dspex_testkit.calls import Journal

            self._journal = Journal(keep_prompts=True)
        return self._journal

    def keep(self) -> None:
        """Write down what the bridges know, before they forget it."""
        known = {_key(entry) for entry in self._kept}
        for entry in self._collect():
            if (key := _key(entry)) not in known:
                known.add(key)
                self._kept.append(entry)

    def end(self) -> None:
        """Have calls that come too late written into no other test's journal."""
        if self._journal is not None:
            self._journal.end()

    def entries(self, *, all: bool = False) -> "tuple[list[LMCall], list[LMChange]]":
        """Calls and changes so far, in one sequence of numbers.

        Args:
            all: Also those that the test has cleared from its journal.
        """
        from dspex_testkit.calls import LMCall, LMChange

        self.keep()
        ordered = sorted(self._kept, key=lambda entry: (0.0 if self._in_order else entry.time, entry.seq))
        numbered = [replace(entry, seq=number) for number, entry in enumerate(ordered, 1)]
        shown = numbered if all else numbered[self._forgotten :]
        return (
            [entry for entry in shown if isinstance(entry, LMCall)],
            [entry for entry in shown if isinstance(entry, LMChange)],
        )

    def forget(self) -> None:
        """Leave out what has been so far."""
        self.keep()
        self._forgotten = len(self._kept)

    @property
    def _in_order(self) -> bool:
        """Whether all is from one journal, which has an order of its own; several meet in time."""
        journals = len(self._bridges) + bool(self._journal)
        return journals < 2 and not any(bridge.mode == "pool" for bridge in self._bridges)

    def _collect(self) -> "Iterable[LMCall | LMChange]":
        if self._journal is not None:
            yield from self._journal.calls()
        if not self._bridges:
            return
        from dspex_testkit.plugin.bridges import ask_each

        for bridge in self._bridges:
            for said in ask_each(bridge.client, "get_journal", {"prompts": self.with_prompts}):
                yield from _read(said)


def _read(said: "Mapping[str, Any]") -> "list[LMCall | LMChange]":
    """What a bridge knows; nothing where it says something else, because a test may have its bridge lie."""
    from dspex_testkit.plugin.journal_files import call_from_dict, change_from_dict

    try:
        return [*map(call_from_dict, said["calls"]), *map(change_from_dict, said.get("changes", ()))]
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return []


def _key(entry: Any) -> tuple[Any, ...]:
    """Tells apart what two workers have written, and knows again what one has said twice."""
    return type(entry).__name__, entry.seq, entry.time, entry.worker_id, entry.session_id, entry.lm_id
