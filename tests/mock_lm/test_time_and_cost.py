"""Delays by a clock that a test moves, and prices from the list that DSPy ships."""

import asyncio
import threading
from decimal import Decimal
from typing import Any

import dspy
import pytest

from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.mock_lm import MockLM, VirtualClock
from tests.support.waiting import PATIENCE, eventually


def _ask(lm: MockLM, question: str = "q") -> Any:
    with dspy.context(lm=lm):
        return dspy.Predict("question -> answer")(question=question)


def _stream(lm: MockLM) -> Any:
    with dspy.context(lm=lm):
        *_, last = dspy.streamify(dspy.Predict("question -> answer"), async_streaming=False)(question="q")
    return last


def test_an_answer_takes_its_time_on_the_given_clock() -> None:
    """The journal has the time, nobody waited."""
    clock = VirtualClock()
    lm = MockLM.deterministic({"default": "x"}, latency_ms=250, clock=clock)
    _ask(lm)
    assert clock.slept == [0.25]
    assert lm.journal[0].latency_ms == pytest.approx(250)


def test_an_async_answer_takes_its_time_too() -> None:
    """Without holding up the loop."""
    clock = VirtualClock()
    lm = MockLM.deterministic({"default": {"answer": "x", "$latency_ms": 40}}, latency_ms=250, clock=clock)
    with dspy.context(lm=lm):
        asyncio.run(dspy.Predict("question -> answer").acall(question="q"))
    assert clock.slept == [0.04]


@pytest.mark.parametrize("duration", [{"uniform": [10, 30]}, {"lognormal": {"median": 20, "sigma": 0.1}}])
def test_distributions_are_seeded(duration: Any) -> None:
    """The same requests take the same times for the same seed, each its own."""

    def times(seed: int) -> list[float]:
        clock = VirtualClock()
        lm = MockLM({"latency_ms": duration, "mode": "random", "seed": seed}, clock=clock)
        for i in range(5):
            _ask(lm, f"q{i}")
        return clock.slept

    assert times(1) == times(1) != times(2)
    assert len(set(times(1))) == 5
    assert all(0.01 <= seconds <= 0.04 for seconds in times(1))


def test_a_stream_has_a_first_token_and_pauses() -> None:
    """One delay before the first chunk, one before each other."""
    clock = VirtualClock()
    lm = MockLM.deterministic(
        {"default": "one two three"}, stream={"first_token_ms": 100, "between_tokens_ms": 10}, clock=clock
    )
    assert _stream(lm).answer == "one two three"
    chunks = lm.journal[0].stream_chunks or 0
    assert clock.slept == [0.1, *[0.01] * (chunks - 1)]


def test_a_stall_delays_what_follows() -> None:
    """In a stream after its chunks, otherwise the whole answer."""
    for ask in (_stream, _ask):
        clock = VirtualClock()
        lm = MockLM.deterministic({"default": "one two"}, faults=[{"kind": "stall", "stall_ms": 5000}], clock=clock)
        assert ask(lm).answer == "one two"
        assert clock.slept == [5.0]


def test_a_clock_that_stands_holds_the_program_until_it_is_moved() -> None:
    """To look at a program while its LM is slow."""
    clock = VirtualClock(auto=False)
    lm = MockLM.deterministic({"default": "x"}, latency_ms=1000, clock=clock)
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(_ask(lm).answer))
    thread.start()
    eventually(lambda: clock.waiting, "the LM's wait")
    clock.advance(0.5)
    assert (answers, clock.waiting) == ([], 1)
    clock.advance(0.5)
    thread.join(timeout=PATIENCE)
    assert answers == ["x"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"latency_ms": "slow"}, "a duration is a number of milliseconds"),
        ({"latency_ms": -1}, "a duration is a number"),
        ({"latency_ms": {"unifrom": [1, 2]}}, "did you mean 'uniform'"),
        ({"latency_ms": {"uniform": [1]}}, "'uniform' cannot be [1]"),
        ({"stream": {"first_token": 1}}, "did you mean 'first_token_ms'"),
        ({"prices": {"input": 1}}, "prices.output: Field required"),
    ],
)
def test_times_and_prices_that_cannot_be_used_are_refused(spec: dict[str, Any], message: str) -> None:
    """At construction."""
    with pytest.raises(InvalidMockSpecError) as caught:
        MockLM(spec)
    assert message in caught.value.message


def test_a_call_costs_what_the_impersonated_model_costs() -> None:
    """Exact decimals from the shipped list; unknown models have no price."""
    lm = MockLM.deterministic(
        {"default": {"answer": "x", "$usage": {"input_tokens": 1000, "output_tokens": 100, "cached_tokens": 200}}},
        provider="openai",
        model="gpt-4o-mini",
    )
    _ask(lm)
    assert lm.journal[0].cost == 800 * Decimal("1.5e-07") + 200 * Decimal("7.5e-08") + 100 * Decimal("6e-07")
    unknown = MockLM(provider="openai", model="no-such-model")
    _ask(unknown)
    assert unknown.journal[0].cost is None


def test_prices_can_be_given() -> None:
    """In US dollars per million tokens, reasoning apart."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 1_000_000, "reasoning_tokens": 500_000}
    lm = MockLM.deterministic(
        {"default": {"answer": "x", "$usage": usage}}, prices={"input": 1, "output": "2.50", "reasoning": 4}
    )
    _ask(lm)
    assert lm.journal[0].cost == Decimal("4.25")


def test_a_price_that_cannot_be_computed_says_why() -> None:
    """Counts that contradict each other come to no price, and the journal tells which."""
    lm = MockLM.deterministic(
        default={"$value": "x", "$usage": {"input_tokens": 5, "cached_tokens": 9}},
        provider="openai",
        model="gpt-4o-mini",
    )
    lm("hello")
    call = lm.journal[0]
    assert call.cost is None
    assert call.details == {"unpriced": "9 cached tokens are more than the 5 input tokens that they are part of"}
