"""`LMJournal`: the LM calls of one test, from every LM and bridge it used, with assertions over them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from dspex_testkit.calls import LMCall, LMChange, Prompt, Scope
from dspex_testkit.calls.costs import cost_of, tokens_of
from dspex_testkit.plugin import assertions
from dspex_testkit.plugin.assertions import ANY, By, Narrow

Entries = Callable[[], tuple[Sequence[LMCall], Sequence[LMChange]]]


class LMJournal(Sequence[LMCall]):
    """What LMs were asked and answered during a test, in order.

    Args:
        entries: Gives calls and changes as they are now.
        forget: Leaves out what has been so far.
    """

    def __init__(self, entries: Entries, forget: Callable[[], None]) -> None:
        self._entries = entries
        self._forget = forget

    @property
    def calls(self) -> tuple[LMCall, ...]:
        """All calls so far."""
        return tuple(self._entries()[0])

    @property
    def changes(self) -> tuple[LMChange, ...]:
        """Which scopes were given which LMs, in one sequence (`seq`) with the calls."""
        return tuple(self._entries()[1])

    @property
    def prompts(self) -> list[Prompt]:
        """What was asked, part by part, for a snapshot; each is also the `prompt` of its call."""
        return [call.prompt for call in self.calls if call.prompt is not None]

    @property
    def cost(self) -> Decimal:
        """US dollars of all calls whose price is known; an ensemble costs what its members do."""
        return cost_of(self.calls)

    @property
    def tokens(self) -> int:
        """Tokens of all calls, input and output; those of an ensemble are its members'."""
        return tokens_of(self.calls)

    def of(self, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY) -> list[LMCall]:
        """The calls of a program, session or worker."""
        return assertions.select(self, program=program, session=session, worker=worker)

    def clear(self) -> None:
        """Let the journal begin anew, here; the test's report keeps everything."""
        self._forget()

    def __len__(self) -> int:
        return len(self.calls)

    def __iter__(self) -> Iterator[LMCall]:
        return iter(self.calls)

    def __getitem__(self, index: Any) -> Any:
        return self.calls[index]

    def __repr__(self) -> str:
        return f"<LMJournal of {len(self)} calls>"

    def assert_answered_by(
        self,
        lm: str,
        *,
        scope: Scope | str | None = None,
        program: Narrow = ANY,
        session: Narrow = ANY,
        worker: Narrow = ANY,
    ) -> None:
        """Every call was answered by this LM, by this scope if one is named, and there was one."""
        __tracebackhide__ = True
        assertions.assert_answered_by(self, lm, scope=scope, program=program, session=session, worker=worker)

    def assert_scope(
        self, scope: Scope | str, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
    ) -> None:
        """Every call was decided by this scope, and there was one."""
        __tracebackhide__ = True
        assertions.assert_scope(self, scope, program=program, session=session, worker=worker)

    def assert_sequence(self, *lms: str, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY) -> None:
        """One call after the other was answered by these LMs, one each."""
        __tracebackhide__ = True
        assertions.assert_sequence(self, *lms, program=program, session=session, worker=worker)

    def assert_switched(self, *lms: str, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY) -> None:
        """The LM that answers changed like this, however many calls each answered in a row."""
        __tracebackhide__ = True
        assertions.assert_switched(self, *lms, program=program, session=session, worker=worker)

    def assert_nothing_leaked(self) -> None:
        """No LM answered outside of the scope that it was given to."""
        __tracebackhide__ = True
        assertions.assert_nothing_leaked(self)

    def assert_isolated(
        self, lms: Mapping[str | None, str | Sequence[str]] | None = None, *, by: By = "session"
    ) -> None:
        """Sessions (or programs, or workers) never met each other's LMs."""
        __tracebackhide__ = True
        assertions.assert_isolated(self, lms, by=by)

    def assert_no_fallback(self) -> None:
        """No wider scope answered for a session that had an LM of its own."""
        __tracebackhide__ = True
        assertions.assert_no_fallback(self)

    def assert_call_count(
        self,
        expected: int,
        *,
        lm: str | None = None,
        program: Narrow = ANY,
        session: Narrow = ANY,
        worker: Narrow = ANY,
    ) -> None:
        """There were so many calls."""
        __tracebackhide__ = True
        assertions.assert_call_count(self, expected, lm=lm, program=program, session=session, worker=worker)

    def assert_cost_at_most(
        self, usd: Decimal | float | str, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
    ) -> None:
        """The calls cost no more than this, in US dollars; one of an unknown price fails."""
        __tracebackhide__ = True
        assertions.assert_cost_at_most(self, usd, program=program, session=session, worker=worker)

    def assert_tokens_at_most(
        self, tokens: int, *, program: Narrow = ANY, session: Narrow = ANY, worker: Narrow = ANY
    ) -> None:
        """The calls used no more tokens than this."""
        __tracebackhide__ = True
        assertions.assert_tokens_at_most(self, tokens, program=program, session=session, worker=worker)

    def assert_no_real_lm(self) -> None:
        """No real provider was asked."""
        __tracebackhide__ = True
        assertions.assert_no_real_lm(self)
