"""What holds for every value: it arrives as it was given, or is refused."""

import threading
from collections import Counter
from typing import Any

import dspy
import pytest
from dspy.adapters.baml_adapter import BAMLAdapter
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex_testkit.errors import AnswerError
from dspex_testkit.mock_lm import MockLM

ADAPTERS: dict[str, Any] = {
    "chat": lambda lm: dspy.ChatAdapter(use_json_adapter_fallback=False),
    "json": lambda lm: dspy.JSONAdapter(),
    "xml": lambda lm: dspy.XMLAdapter(use_json_adapter_fallback=False),
    "baml": lambda lm: BAMLAdapter(),
    "two_step": lambda lm: dspy.TwoStepAdapter(lm),
}
every_adapter = pytest.mark.parametrize("adapter", ADAPTERS)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _ask(adapter: str, signature: Any, answer: Any) -> Any:
    lm = MockLM.deterministic({"default": answer})
    with dspy.context(lm=lm, adapter=ADAPTERS[adapter](lm)):
        return dspy.Predict(signature)(question="q")


def _shape_of_text(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


@every_adapter
@settings(max_examples=150)
@given(text=st.text() | st.text(alphabet="[]#{}<>&\"'\\ \n\r\tab:," + "\u2028\x00\x0b"))
def test_a_text_arrives_or_is_refused(adapter: str, text: str) -> None:
    """Nothing is changed on the way but line ends and the space around lines, which adapters trim."""
    try:
        prediction = _ask(adapter, "question -> first, answer", {"first": text, "answer": "end"})
    except AnswerError:
        return
    assert _shape_of_text(prediction.first) == _shape_of_text(text)
    assert prediction.answer == "end"


@every_adapter
@settings(max_examples=60)
@given(value=st.integers())
def test_an_integer_of_any_size_arrives(adapter: str, value: int) -> None:
    """None is refused, none is rounded."""
    assert _ask(adapter, "question -> n: int", {"n": value}).n == value


@pytest.mark.parametrize("adapter", ["chat", "json", "baml"])
@settings(max_examples=100)
@given(value=st.dictionaries(st.text(max_size=8), json_values, max_size=4))
def test_json_arrives_or_is_refused(adapter: str, value: dict[str, Any]) -> None:
    """Objects keep their types, however they are nested."""
    try:
        prediction = _ask(adapter, "question -> data: dict[str, Any]", {"data": value})
    except AnswerError:
        return
    assert prediction.data == value


def test_concurrent_requests_get_the_same_answers_as_a_multiset() -> None:
    """Whichever thread is first."""

    def ask(lm: MockLM, found: list[str]) -> None:
        with dspy.context(lm=lm):
            for i in range(20):
                found.append(dspy.Predict("question -> answer")(question=f"q{i % 2}").answer)

    serial: list[str] = []
    one = MockLM.random(seed=3)
    for _ in range(4):
        ask(one, serial)
    concurrent: list[str] = []
    other = MockLM.random(seed=3)
    threads = [threading.Thread(target=ask, args=(other, concurrent)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(serial) == Counter(concurrent)
