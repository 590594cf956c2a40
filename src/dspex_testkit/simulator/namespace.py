"""One target as the server sees it: what answers, its faults and limits."""

import time
from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from dspex_testkit.calls import LMCall, LocalCounters, Usage
from dspex_testkit.mock_lm.clock import Clock
from dspex_testkit.simulator.buckets import RateLimits
from dspex_testkit.simulator.http_faults import HTTPFault, HTTPFaultSchedule
from dspex_testkit.simulator.prompts import Asked
from dspex_testkit.wires.exchange import Answered, Spoken

if TYPE_CHECKING:
    from dspex_testkit.cassettes import CassetteReport


class Answers(Protocol):
    """What answers: a mock spec or a recording."""

    @property
    def source(self) -> str:
        """What answers, in a word."""
        ...

    async def answer(self, asked: Asked, provider: str) -> Spoken:
        """Answer once.

        Raises:
            Unanswered: There is no answer, or the answer is a failure.
        """
        ...

    def begin_anew(self) -> None:
        """Answer again from the first answer on."""
        ...

    def report(self) -> "CassetteReport | None":
        """What was played and missed of a recording; None for a spec."""
        ...


class Namespace:
    """Answers what is asked of one target.

    Args:
        id: The target's id, which LM calls carry as `lm_id`.
        provider: The provider it stands for, whatever format it is asked in; None: the format's own.
        model: The model it was made for, to be listed; any model is answered.
        answers: What it answers.
        faults: What goes wrong on the way.
        limits: Requests and tokens per minute.
        clock: Where time comes from.
    """

    def __init__(
        self,
        id: str,
        *,
        provider: str | None,
        model: str | None,
        answers: Answers,
        faults: Sequence[HTTPFault],
        limits: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        self.id = id
        self.provider = provider
        self.model = model
        self.answers = answers
        self._faults = tuple(faults)
        self._limits = dict(limits)
        self._clock = clock
        self._begin_anew()

    def configure(
        self,
        *,
        answers: Answers | None = None,
        faults: Sequence[HTTPFault] | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace what is given; positions of scripts, recordings and fault schedules begin anew.

        Raises:
            CassetteError: Its file is gone or spoilt.
            UsageError: A limit cannot be used.
        """
        limits = self._limits if limits is None else dict(limits)
        # First what may be refused, so that nothing is replaced by halves.
        RateLimits(limits, self._clock.now)
        if answers is None:
            self.answers.begin_anew()
        else:
            self.answers = answers
        self._faults = self._faults if faults is None else tuple(faults)
        self._limits = limits
        self._begin_anew()

    def reset(self) -> None:
        """Let scripts, recordings, fault schedules and rate limits begin anew."""
        self.answers.begin_anew()
        self._begin_anew()

    async def answer(self, asked: Asked, number: int) -> tuple[Answered, list[LMCall]]:
        """Ask as often as answers are wanted.

        Returns:
            The answers, and the calls as they are to be journaled.

        Raises:
            Unanswered: One of them failed.
        """
        provider = self.provider or asked.ask.provider
        spoken = [await self.answers.answer(asked, provider) for _ in range(asked.ask.n)]
        choices = tuple([each.choice for each in spoken])
        delay = sum([each.delay for each in spoken])
        answered = Answered(number, int(time.time()), choices, _total([each.usage for each in spoken]), delay)
        return answered, [each.call for each in spoken]

    def failed_call(self, provider: str, model: str, *, error: str, fault: str | None = None) -> LMCall:
        """The call of a request that no engine answered."""
        return LMCall(
            provider=self.provider or provider,
            model=model,
            engine="simulator",
            lm_id=self.id,
            error=error,
            fault=fault,
            time=time.time(),
        )

    def _begin_anew(self) -> None:
        self.faults = HTTPFaultSchedule(self._faults, LocalCounters())
        self.rate_limits = RateLimits(self._limits, self._clock.now) if self._limits else None


class Numbers:
    """Numbers of answers, for their ids."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self) -> int:
        """The next one."""
        return next(self._numbers)


def _total(usages: Sequence[Usage]) -> Usage:
    """Tokens of several answers to one prompt, which counts once."""
    if len(usages) == 1:
        return usages[0]
    last = usages[-1]
    return Usage(
        input_tokens=last.input_tokens,
        output_tokens=_sum([usage.output_tokens for usage in usages]),
        reasoning_tokens=_sum([usage.reasoning_tokens for usage in usages]),
        cached_tokens=last.cached_tokens,
        cache_write_tokens=last.cache_write_tokens,
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [number for number in counts if number is not None]
    return sum(known) if known else None
