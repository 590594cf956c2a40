"""DSPy's optimizers run on a mock, and what they ask is in its journal."""

from collections.abc import Callable
from typing import Any

import dspy
import pytest
from dspy import teleprompt

from dspex_testkit.mock_lm import MockEmbedder, MockLM

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

TRAIN = [dspy.Example(question=f"q{i}", answer=f"a{i}").with_inputs("question") for i in range(12)]


def _metric(example: Any, prediction: Any, *_: Any) -> float:
    return float(example.answer == prediction.answer)


def _feedback(example: Any, prediction: Any, *_: Any) -> Any:
    return dspy.Prediction(score=_metric(example, prediction), feedback="fine")


EVALUATION = {"num_threads": 1, "display_progress": False, "display_table": 0}
OPTIMIZERS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "LabeledFewShot": (lambda: teleprompt.LabeledFewShot(k=2), {}),
    "BootstrapFewShot": (lambda: teleprompt.BootstrapFewShot(metric=_metric, max_bootstrapped_demos=2), {}),
    "BootstrapFewShotWithRandomSearch": (
        lambda: teleprompt.BootstrapFewShotWithRandomSearch(metric=_metric, num_candidate_programs=2, num_threads=1),
        {},
    ),
    "COPRO": (lambda: teleprompt.COPRO(metric=_metric, breadth=2, depth=1), {"eval_kwargs": EVALUATION}),
    "MIPROv2": (
        lambda: teleprompt.MIPROv2(metric=_metric, auto=None, num_candidates=2, num_threads=1),
        {"num_trials": 2, "minibatch": False},
    ),
    "SIMBA": (
        lambda: teleprompt.SIMBA(metric=_metric, bsize=4, num_candidates=2, max_steps=1, num_threads=1),
        {},
    ),
    "GEPA": (
        lambda: teleprompt.GEPA(metric=_feedback, max_metric_calls=20, reflection_lm=MockLM(), num_threads=1),
        {"valset": TRAIN[:4]},
    ),
    "InferRules": (
        lambda: teleprompt.InferRules(metric=_metric, num_candidates=2, num_rules=2, num_threads=1),
        {},
    ),
}


def _student() -> MockLM:
    # Knows some of the answers, so that there is something to learn from.
    return MockLM(
        {
            "mode": "derived",
            "rules": [
                {"when": {"outputs": ["answer"], "inputs": {"question": f"q{i}"}}, "answer": {"answer": f"a{i}"}}
                for i in range(0, 12, 2)
            ],
        }
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_compiles_a_program(name: str) -> None:
    """The compiled program answers, and the mock saw every call that was made."""
    make, options = OPTIMIZERS[name]
    lm = _student()
    with dspy.context(lm=lm):
        compiled = make().compile(dspy.ChainOfThought("question -> answer"), trainset=TRAIN, **options)
        assert compiled(question="q0").answer == "a0"
    assert lm.journal[-1].outputs is not None
    assert all(call.error is None for call in lm.journal)


def test_neighbours_become_demos() -> None:
    """KNNFewShot finds them with the mock embedder."""
    lm = _student()
    optimizer = teleprompt.KNNFewShot(k=2, trainset=TRAIN, vectorizer=MockEmbedder(), metric=_metric)
    with dspy.context(lm=lm):
        compiled = optimizer.compile(dspy.Predict("question -> answer"))
        assert compiled(question="q2").answer == "a2"


def test_an_evaluation_counts_what_is_right() -> None:
    """Half of the answers are known."""
    evaluate = dspy.Evaluate(devset=TRAIN, metric=_metric, num_threads=2, display_progress=False)
    with dspy.context(lm=_student()):
        assert evaluate(dspy.Predict("question -> answer")).score == 50.0
