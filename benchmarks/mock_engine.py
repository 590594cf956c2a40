"""What a deterministic mock adds to a `dspy.Predict` call."""

from collections.abc import Callable, Iterator
from typing import Any

import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage
from dspy.utils import DummyLM

from benchmarks.measure import Figure, compare, timed
from dspex_testkit import MockLM

_INPUTS = {"question": "What is the capital of France?"}
_COMPLETION = "[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]"


class ConstantEngine:
    """The least that an engine can do."""

    def complete(self, request: Request) -> Response:
        """Answer the same, whatever is asked."""
        message = Message("assistant", (TextPart(_COMPLETION),))
        return Response(None, request.model, message, "stop", Usage())

    def close(self) -> None:
        """Nothing is open."""


def figures(*, scale: float) -> Iterator[Figure]:
    """`dspy.Predict` on our mock, against an engine that returns a constant and against DSPy's own mock."""
    mock = MockLM.from_spec({"mode": "deterministic", "responses": {_INPUTS["question"]: "Paris"}})
    constant = dspy.LM("mock/mock", engine=ConstantEngine(), cache=False, num_retries=0)
    dummy = DummyLM({_INPUTS["question"]: {"answer": "Paris"}})
    for baseline, lm, aim in (
        ("the same on an engine that returns a constant", constant, 1.25),
        ("the same on DSPy's `DummyLM`", dummy, 1.0),
    ):
        yield compare(
            "`dspy.Predict` on a deterministic mock",
            baseline,
            run_subject=timed(_predict_on(mock), repeats=5),
            run_baseline=timed(_predict_on(lm), repeats=5),
            rounds=max(5, int(300 * scale)),
            aim=aim,
        )


def rule_figures(*, scale: float) -> Iterator[Figure]:
    """The same on mocks with many rules, of which one applies, against one with that rule alone."""
    one = _mock_with_rules(1)
    for count, aim in ((100, 1.25), (10_000, 2.0)):
        yield compare(
            f"`dspy.Predict` on a mock with {count:,} rules",
            "the same on a mock with one rule",
            run_subject=timed(_predict_on(_mock_with_rules(count)), repeats=5),
            run_baseline=timed(_predict_on(one), repeats=5),
            rounds=max(5, int(300 * scale)),
            aim=aim,
        )


def _mock_with_rules(count: int) -> MockLM:
    others = [
        {"when": {"inputs": {"question": f"Question {number}?"}}, "answer": str(number)} for number in range(count - 1)
    ]
    return MockLM.deterministic(rules=[*others, {"when": {"inputs": _INPUTS}, "answer": "Paris"}])


def _predict_on(lm: Any) -> Callable[[], Any]:
    predict = dspy.Predict("question -> answer")

    def call() -> Any:
        with dspy.context(lm=lm, trace=[], disable_history=True):
            return predict(**_INPUTS)

    assert call().answer == "Paris"
    return call
