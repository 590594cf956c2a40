"""Answers from a mock spec: the engines of the mock LMs, asked over HTTP."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import dspy
from dspy import lm15
from dspy.lm15 import Request, Response, materialize_response

from dspex_testkit.calls import CALLER_SETTING, Caller, Counters, Journal, LMCall, LocalCounters, Usage
from dspex_testkit.dspy_internals.call_stack import announce_call, end_call
from dspex_testkit.mock_lm import Capabilities
from dspex_testkit.mock_lm.clock import Clock
from dspex_testkit.mock_lm.engine import MockEngine
from dspex_testkit.mock_lm.spec import MockSpec
from dspex_testkit.mock_lm.usage import CHARS_PER_TOKEN, count_tokens
from dspex_testkit.simulator.choices import ChoiceBuilder, choice_of_response, usage_of
from dspex_testkit.simulator.noted_time import NotingClock, Waits, note_waits
from dspex_testkit.simulator.prompts import Asked
from dspex_testkit.wires.exchange import Ask, Choice, Piece, Spoken, Unanswered

# Over HTTP the caller has decided already what to ask for; an engine that refuses nothing serves every model.
_CAPABILITIES = Capabilities(function_calling=True, response_schema=True, reasoning=True)
_MAX_ENGINES = 256
# Engines drop a stream in its middle only where somebody listens to it.
_LISTENING = {"send_stream": object()}


class MockAnswers:
    """Answers as a spec says.

    Args:
        spec: How.
        lm_id: What the calls carry as `lm_id`.
        journal: Where the calls will go.
        clock: Where time comes from.
    """

    def __init__(self, spec: MockSpec, *, lm_id: str, journal: Journal, clock: Clock) -> None:
        self.spec = spec
        self._lm_id = lm_id
        self._journal = journal
        self._clock = NotingClock(clock)
        self.begin_anew()
        # A contradiction in the spec is to be heard of now, by whoever gave it.
        self._engine("openai", "model")

    @property
    def source(self) -> str:
        """What answers, in a word."""
        return self.spec.mode

    def begin_anew(self) -> None:
        """Let scripts and fault schedules begin anew."""
        self._counters: Counters = LocalCounters()
        self._engines: dict[tuple[str, str], MockEngine] = {}

    async def answer(self, asked: Asked, provider: str) -> Spoken:
        """Ask the mock once.

        Raises:
            Unanswered: The mock was told to fail, or has no answer.
        """
        ask = asked.ask
        engine = self._engine(provider, ask.model)
        held, waits = HeldCall(self._journal), note_waits()
        # Limits are obeyed here, where it is known which sequence stopped the answer.
        unlimited = replace(ask.request.config, stop=(), max_tokens=None)
        request = replace(ask.request, config=unlimited)
        caller = Caller(journal=held, counters=self._counters, lm_id=self._lm_id)
        token = announce_call(asked.capture, {})
        try:
            with dspy.context(**{CALLER_SETTING: caller}, **(_LISTENING if ask.stream else {})):
                if ask.stream:
                    return await _streamed(engine, request, ask, held, waits)
                response = await engine.acomplete(request)
        except Exception as error:
            raise Unanswered(error, held.call) from error
        finally:
            end_call(token)
        return _spoken(choice_of_response(response), usage_of(response), ask, held, waits.total)

    def report(self) -> None:
        """Nothing is recorded."""

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


class HeldCall:
    """Holds one call, which is completed before it goes into the journal.

    Args:
        journal: Where it will go.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.keeps_prompts = journal.keeps_prompts
        self.call: LMCall | None = None

    def learn(self, secrets: Collection[str]) -> None:
        """Pass on what no call is to show."""
        self._journal.learn(secrets)

    def record(self, call: LMCall) -> LMCall:
        """Keep it."""
        self.call = call
        return call


async def _streamed(engine: MockEngine, request: Request, ask: Ask, held: HeldCall, waits: Waits) -> Spoken:
    """Hear the whole stream; the first pause is before its beginning, the others are between its pieces."""
    hearing, delay = ChoiceBuilder(), 0.0
    try:
        async for event in engine.astream(request):
            pause = waits.take()
            if event.type == "start":
                delay, pause = pause, 0.0
            hearing.hear(event, pause)
    except lm15.TransportError:
        if not hearing.events:
            raise
        assert held.call is not None
        return Spoken(hearing.broken(), Usage(), held.call, delay)
    response: Response = materialize_response(iter(hearing.events), ask.request)
    return _spoken(hearing.whole(response), usage_of(response), ask, held, delay)


def _spoken(choice: Choice, usage: Usage, ask: Ask, held: HeldCall, delay: float) -> Spoken:
    call = held.call
    assert call is not None
    cut = _cut(choice, ask)
    if cut is choice:
        return Spoken(choice, usage, call, delay)
    saved = count_tokens(len(choice.text)) - count_tokens(len(cut.text))
    usage = replace(usage, output_tokens=max(0, (usage.output_tokens or 0) - saved))
    return Spoken(cut, usage, replace(call, completion=cut.text, finish_reason=cut.finish, usage=usage), delay)


def _cut(choice: Choice, ask: Ask) -> Choice:
    """The choice with `stop` and `max_tokens` obeyed."""
    config, text, finish, stopped = ask.request.config, choice.text, choice.finish, None
    found = min(((text.find(stop), stop) for stop in config.stop if stop in text), default=None)
    if found is not None:
        text, stopped = text[: found[0]], found[1]
    if config.max_tokens is not None and len(text) > config.max_tokens * CHARS_PER_TOKEN:
        text, finish, stopped = text[: config.max_tokens * CHARS_PER_TOKEN], "length", None
    if text == choice.text:
        return choice
    spoken = _first(choice.spoken, len(text))
    return replace(choice, text=text, spoken=spoken, finish=finish, stop_sequence=stopped)


def _first(pieces: Sequence[Piece], length: int) -> tuple[Piece, ...]:
    """The pieces that make up so many characters."""
    kept: list[Piece] = []
    for piece in pieces:
        if length <= 0:
            break
        kept.append(replace(piece, text=piece.text[:length]))
        length -= len(piece.text)
    return tuple(kept)
