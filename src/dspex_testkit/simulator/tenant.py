"""One target as the server sees it: a mock spec, its engines, its counters, its faults and limits."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import dspy
from dspy.lm15 import RefusalPart, Response, TextPart, ThinkingPart, ToolCallPart

from dspex_testkit.calls import CALLER_SETTING, Caller, Journal, LMCall, LocalCounters, Usage
from dspex_testkit.mock_lm import Capabilities
from dspex_testkit.mock_lm.capture import announce_call, end_call
from dspex_testkit.mock_lm.clock import Clock
from dspex_testkit.mock_lm.engine import MockEngine
from dspex_testkit.mock_lm.spec import MockSpec
from dspex_testkit.mock_lm.usage import CHARS_PER_TOKEN, count_tokens
from dspex_testkit.simulator.buckets import RateLimits
from dspex_testkit.simulator.exchange import Answered, Ask, Choice, ToolCall
from dspex_testkit.simulator.http_faults import HTTPFault, HTTPFaultSchedule
from dspex_testkit.simulator.prompts import read_prompt

# Over HTTP the caller has decided already what to ask for; an engine that refuses nothing serves every model.
_CAPABILITIES = Capabilities(function_calling=True, response_schema=True, reasoning=True)
_MAX_ENGINES = 256


class Tenant:
    """Answers what is asked of one target.

    Args:
        id: The target's id, which LM calls carry as `lm_id`.
        provider: The provider it stands for, whatever format it is asked in; None: the format's own.
        model: The model it was made for, to be listed; any model is answered.
        spec: How it answers.
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
        spec: MockSpec,
        faults: Sequence[HTTPFault],
        limits: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        self.id = id
        self.provider = provider
        self.model = model
        self.spec = spec
        self._faults = tuple(faults)
        self._limits = dict(limits)
        self._clock = clock
        self.reset()

    def configure(
        self,
        *,
        spec: MockSpec | None = None,
        faults: Sequence[HTTPFault] | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace what is given; positions of scripts and fault schedules begin anew."""
        self.spec = self.spec if spec is None else spec
        self._faults = self._faults if faults is None else tuple(faults)
        self._limits = self._limits if limits is None else dict(limits)
        self.reset()

    def reset(self) -> None:
        """Let scripts, fault schedules and rate limits begin anew."""
        self._counters = LocalCounters()
        self.faults = HTTPFaultSchedule(self._faults, self._counters)
        self.rate_limits = RateLimits(self._limits, self._clock.now) if self._limits else None
        self._engines: dict[tuple[str, str], MockEngine] = {}
        # A contradiction in the spec is to be heard of now, by whoever gave it.
        self._engine(self.provider or "openai", self.model or "model")

    async def answer(self, ask: Ask, number: int) -> tuple[Answered, list[LMCall]]:
        """Ask the mock as often as answers are wanted.

        Returns:
            The answers, and the calls as they are to be journaled.

        Raises:
            LM15Error: The mock was told to fail.
            DSPexTestkitError: It has no answer.
        """
        engine = self._engine(self.provider or ask.provider, ask.model)
        capture = read_prompt(ask.request)
        choices, calls, usage = [], [], Usage()
        held = HeldCall()
        caller = Caller(journal=held, counters=self._counters, lm_id=self.id)
        for _ in range(ask.n):
            token = announce_call(capture, {})
            try:
                with dspy.context(**{CALLER_SETTING: caller}):
                    response = await engine.acomplete(ask.request)
            except Exception as error:
                error.simulated_call = held.call  # type: ignore[attr-defined]
                raise
            finally:
                end_call(token)
            choice, spoken = _cut(_choice(response), response.usage, ask)
            choices.append(choice)
            calls.append(_as_sent(held.call, choice, spoken))
            usage = _add(usage, spoken)
        return Answered(number=number, created=int(time.time()), choices=tuple(choices), usage=usage), calls

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

    def _engine(self, provider: str, model: str) -> MockEngine:
        known = self._engines.get((provider, model))
        if known is None:
            if len(self._engines) >= _MAX_ENGINES:
                self._engines.clear()
            known = self._engines[provider, model] = MockEngine(
                self.spec,
                provider=provider,
                model=model,
                capabilities=_CAPABILITIES,
                state=self._counters,
                clock=self._clock,
            )
        return known


class HeldCall(Journal):
    """A journal for one call, which is completed before it goes into the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.call: LMCall | None = None

    def record(self, call: LMCall) -> LMCall:
        """Keep it."""
        self.call = call
        return call


class Numbers:
    """Numbers of answers, for their ids."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self) -> int:
        """The next one."""
        return next(self._numbers)


def _choice(response: Response) -> Choice:
    texts, thoughts, calls, refusal = [], [], [], None
    for part in response.message.parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ThinkingPart):
            thoughts.append(part.text)
        elif isinstance(part, ToolCallPart):
            calls.append(ToolCall(part.id, part.name, part.input))
        elif isinstance(part, RefusalPart):
            refusal = part.text
    return Choice(
        text="".join(texts),
        reasoning="".join(thoughts) if thoughts else None,
        tool_calls=tuple(calls),
        refusal=refusal,
        finish="tool_call" if calls else str(response.finish_reason),
    )


def _cut(choice: Choice, counted: Any, ask: Ask) -> tuple[Choice, Usage]:
    """The choice with `stop` and `max_tokens` obeyed, and the tokens that remain."""
    usage = Usage(
        input_tokens=counted.input_tokens,
        output_tokens=counted.output_tokens,
        reasoning_tokens=counted.reasoning_tokens,
        cached_tokens=counted.cache_read_tokens,
    )
    config, text, finish, stopped = ask.request.config, choice.text, choice.finish, None
    found = min(((text.find(stop), stop) for stop in config.stop if stop in text), default=None)
    if found is not None:
        text, stopped = text[: found[0]], found[1]
    if config.max_tokens is not None and len(text) > config.max_tokens * CHARS_PER_TOKEN:
        text, finish, stopped = text[: config.max_tokens * CHARS_PER_TOKEN], "length", None
    if text == choice.text:
        return choice, usage
    saved = count_tokens(len(choice.text)) - count_tokens(len(text))
    usage = replace(usage, output_tokens=max(0, (usage.output_tokens or 0) - saved))
    return replace(choice, text=text, finish=finish, stop_sequence=stopped), usage


def _as_sent(call: LMCall | None, choice: Choice, usage: Usage) -> LMCall:
    assert call is not None
    if call.completion == choice.text and call.usage == usage:
        return call
    return replace(call, completion=choice.text, finish_reason=choice.finish, usage=usage)


def _add(one: Usage, other: Usage) -> Usage:
    """Tokens of several answers to one prompt, which counts once."""

    def total(a: int | None, b: int | None) -> int | None:
        return b if a is None else a if b is None else a + b

    return Usage(
        input_tokens=other.input_tokens,
        output_tokens=total(one.output_tokens, other.output_tokens),
        reasoning_tokens=total(one.reasoning_tokens, other.reasoning_tokens),
        cached_tokens=other.cached_tokens,
    )
