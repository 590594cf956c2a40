"""Typed answers arrive whole through every adapter, sync, async and streamed."""

import asyncio
import datetime
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import dspy
import pydantic
import pytest
from dspy.adapters.baml_adapter import BAMLAdapter

from dspex_testkit.mock_lm import Capabilities, MockLM


class Color(enum.Enum):
    """Two colors."""

    RED = "red"
    BLUE = "blue"


class Twin(pydantic.BaseModel):
    """A model inside a model."""

    name: str
    districts: list[str]


class City(pydantic.BaseModel):
    """A nested model."""

    name: str
    population: int
    districts: list[str]
    twin: Twin | None = None


class Typed(dspy.Signature):  # type: ignore[misc]
    """Answer with many types."""

    question: str = dspy.InputField()
    words: str = dspy.OutputField()
    whole: int = dspy.OutputField()
    real: float = dspy.OutputField()
    flag: bool = dspy.OutputField()
    choice: Literal["a", "b & <c>"] = dspy.OutputField()
    color: Color = dspy.OutputField()
    items: list[str] = dspy.OutputField()
    counts: dict[str, int] = dspy.OutputField()
    maybe: str | None = dspy.OutputField()
    nothing: int | None = dspy.OutputField()
    city: City = dspy.OutputField()
    cities: list[City] = dspy.OutputField()
    day: datetime.date = dspy.OutputField()
    price: Decimal = dspy.OutputField()


ANSWER: dict[str, Any] = {
    "words": "two\nlines & <b>tags</b> 'quoted' \"twice\" ünïcödé {braces}",
    "whole": 2**80,
    "real": 1.5,
    "flag": False,
    "choice": "b & <c>",
    "color": "blue",
    "items": ["one", "two, three"],
    "counts": {"x": 1, "y": 2},
    "maybe": "there",
    "nothing": None,
    "city": {"name": "Paris & co", "population": 3, "districts": ["1er", "2e"]},
    "cities": [
        {
            "name": "Rome",
            "population": 4,
            "districts": ["I"],
            "twin": {"name": "P", "districts": ["x"]},
        }
    ],
    "day": "2024-02-29",
    "price": "12.50",
}
EXPECTED: dict[str, Any] = ANSWER | {
    "color": Color.BLUE,
    "city": City(**ANSWER["city"]),
    "cities": [City(**ANSWER["cities"][0])],
    "day": datetime.date(2024, 2, 29),
    "price": Decimal("12.50"),
}

Run = Callable[[Any, dict[str, Any]], Any]


def _sync(program: Any, inputs: dict[str, Any]) -> Any:
    return program(**inputs)


def _async(program: Any, inputs: dict[str, Any]) -> Any:
    return asyncio.run(program.acall(**inputs))


def _stream(program: Any, inputs: dict[str, Any]) -> Any:
    *_, last = dspy.streamify(program, async_streaming=False)(**inputs)
    return last


ADAPTERS: dict[str, tuple[Callable[[Any], Any], Capabilities]] = {
    "chat": (lambda lm: dspy.ChatAdapter(use_json_adapter_fallback=False), Capabilities()),
    "json": (lambda lm: dspy.JSONAdapter(), Capabilities()),
    "json_object": (lambda lm: dspy.JSONAdapter(), Capabilities(params=frozenset({"response_format"}))),
    "json_schema": (
        lambda lm: dspy.JSONAdapter(),
        Capabilities(response_schema=True, params=frozenset({"response_format"})),
    ),
    "xml": (lambda lm: dspy.XMLAdapter(use_json_adapter_fallback=False), Capabilities()),
    "baml": (lambda lm: BAMLAdapter(), Capabilities()),
    "two_step": (lambda lm: dspy.TwoStepAdapter(lm), Capabilities()),
    "two_step_with_another_lm": (lambda lm: dspy.TwoStepAdapter(MockLM(model="other")), Capabilities()),
}


def _natively_reasoning() -> Any:
    return dspy.ChainOfThought("question -> answer", rationale_field_type=dspy.Reasoning)


RUNS: dict[str, Run] = {"sync": _sync, "async": _async, "stream": _stream}

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS)
every_run = pytest.mark.parametrize("run", RUNS)


def _answer(lm: MockLM, adapter: str, run: str, program: Any) -> Any:
    with dspy.context(lm=lm, adapter=ADAPTERS[adapter][0](lm)):
        return RUNS[run](program, {"question": "q"})


@every_adapter
@every_run
def test_given_values_arrive_with_their_types(adapter: str, run: str) -> None:
    """What the table says is what the program gets, whatever the format between them."""
    lm = MockLM.deterministic({"default": ANSWER}, capabilities=ADAPTERS[adapter][1])
    prediction = _answer(lm, adapter, run, dspy.Predict(Typed))
    assert {name: prediction[name] for name in EXPECTED} == EXPECTED


@every_adapter
@every_run
def test_derived_values_parse_and_repeat(adapter: str, run: str) -> None:
    """Made-up values fit every type and are the same for the same request."""
    first, second = (
        _answer(MockLM(capabilities=ADAPTERS[adapter][1]), adapter, run, dspy.Predict(Typed)) for _ in range(2)
    )
    assert first.toDict() == second.toDict()
    assert first.words.startswith("mock_words_")
    assert isinstance(first.city, City)


@every_adapter
@every_run
def test_reasoning_is_made_up_where_the_answer_leaves_it_open(adapter: str, run: str) -> None:
    """ChainOfThought runs on a table that knows only the answer."""
    lm = MockLM.deterministic({"q": "Paris"}, capabilities=ADAPTERS[adapter][1])
    prediction = _answer(lm, adapter, run, dspy.ChainOfThought("question -> answer"))
    assert prediction.answer == "Paris"
    assert str(prediction.reasoning).startswith("mock_reasoning")


@every_run
def test_native_reasoning_arrives_beside_the_text(run: str) -> None:
    """An LM that reasons natively answers reasoning as a part of its own."""
    lm = MockLM.deterministic(
        {"q": {"reasoning": "because", "answer": "Paris"}}, capabilities=Capabilities(reasoning=True)
    )
    prediction = _answer(lm, "chat", run, _natively_reasoning())
    assert (prediction.reasoning, prediction.answer) == ("because", "Paris")
    assert "because" not in (lm.journal[-1].completion or "")
    assert lm.journal[-1].usage.reasoning_tokens == 2


@every_run
def test_text_that_is_streamed_comes_in_small_chunks(run: str) -> None:
    """The journal counts the chunks of a streamed answer only."""
    lm = MockLM.deterministic({"q": "one two three"})
    _answer(lm, "chat", run, dspy.Predict("question -> answer"))
    chunks = lm.journal[-1].stream_chunks
    assert (chunks is not None and chunks > 3) if run == "stream" else chunks is None


def test_a_listener_hears_the_field_word_by_word() -> None:
    """DSPy's stream listeners work on a mock."""
    lm = MockLM.deterministic({"q": "one two three"})
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    stream = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener], async_streaming=False)
    with dspy.context(lm=lm):
        heard = [item for item in stream(question="q") if isinstance(item, dspy.streaming.StreamResponse)]
    assert "".join(item.chunk for item in heard) == "one two three"
    assert len(heard) > 1


def test_n_answers_are_n_calls() -> None:
    """DSPy asks a custom engine once per completion."""
    lm = MockLM.scripted(["a", "b", "c"])
    with dspy.context(lm=lm):
        prediction = dspy.Predict("question -> answer", n=3)(question="q")
    assert prediction.completions.answer == ["a", "b", "c"]
    assert len(lm.journal) == 3
