"""What members leave behind: their calls in the journal, as children of the ensemble's, and their counters."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal

from dspex_testkit.calls import CallSink, Counters, LMCall, Usage


class Children:
    """Marks members' calls as part of the ensemble's call on their way to the journal, and adds them up."""

    def __init__(self, sink: CallSink, call_id: str) -> None:
        self.sink = sink
        self._call_id = call_id
        self._calls: list[LMCall] = []

    @property
    def keeps_prompts(self) -> bool:
        """Whether calls are to be written with their prompts."""
        return self.sink.keeps_prompts

    def learn(self, secrets: Collection[str]) -> None:
        """Pass on what no call is to show."""
        self.sink.learn(secrets)

    def record(self, call: LMCall) -> LMCall:
        """Pass a call on; of an ensemble within this one, only its own call is a child of ours."""
        kept = self.sink.record(replace(call, parent_id=self._call_id) if call.parent_id is None else call)
        if call.engine != "ensemble":
            self._calls.append(kept)
        return kept

    @property
    def cost(self) -> Decimal | None:
        """The sum, or None where a price is unknown."""
        costs = [call.cost for call in self._calls if call.error is None or call.cost is not None]
        return None if not costs or None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))

    @property
    def usage(self) -> Usage:
        """The sums; unknown where one of them is."""
        answered = [call.usage for call in self._calls if call.error is None]

        def total(name: str) -> int | None:
            counts = [getattr(usage, name) for usage in answered]
            return None if not counts or None in counts else sum(counts)

        return Usage(input_tokens=total("input_tokens"), output_tokens=total("output_tokens"))


@dataclass(frozen=True, slots=True)
class MemberCounters:
    """Counters of one member, kept with those of the ensemble's assignment."""

    counters: Counters
    who: str

    def next_index(self, key: str) -> int:
        """Fetch and increment."""
        return self.counters.next_index(f"{self.who}\x1f{key}")
