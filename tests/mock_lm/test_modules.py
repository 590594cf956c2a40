"""Every module of DSPy runs on a mock, under every adapter, sync, async and streamed; what DSPy cannot do is listed."""

import asyncio
from collections.abc import Callable
from typing import Any

import dspy
import pytest
from dspy.adapters.baml_adapter import BAMLAdapter

from dspex_testkit.mock_lm import Capabilities, MockLM

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in 3.5:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*rollout_id has no effect.*:UserWarning"),
]

QA = "question -> answer: str, score: int"
ANSWER = {"answer": "Paris", "score": 7}


def look(city: str, times: int = 1) -> str:
    """Look at a city."""
    return f"seen {city}"


def _never_enough(args: Any, prediction: Any) -> float:
    return 0.0


MODULES: dict[str, Callable[[], Any]] = {
    "Predict": lambda: dspy.Predict(QA),
    "ChainOfThought": lambda: dspy.ChainOfThought(QA),
    "ReAct": lambda: dspy.ReAct(QA, tools=[look]),
    "ReActV2": lambda: dspy.ReActV2(QA, tools=[look]),
    "ProgramOfThought": lambda: dspy.ProgramOfThought(QA, interpreter_factory=dspy.LocalInterpreter),
    "CodeAct": lambda: dspy.CodeAct(QA, tools=[look], interpreter_factory=dspy.LocalInterpreter),
    "RLM": lambda: dspy.RLM(QA, interpreter_factory=dspy.LocalInterpreter),
    "BestOfN": lambda: dspy.BestOfN(dspy.ChainOfThought(QA), N=2, reward_fn=_never_enough, threshold=1.0),
    "Refine": lambda: dspy.Refine(dspy.ChainOfThought(QA), N=2, reward_fn=_never_enough, threshold=1.0),
}
ABLE = Capabilities(
    function_calling=True, response_schema=True, reasoning=True, params=frozenset({"response_format", "tools"})
)
ADAPTERS: dict[str, tuple[Callable[[Any], Any], Capabilities]] = {
    "chat": (lambda lm: dspy.ChatAdapter(), Capabilities()),
    "chat_native": (lambda lm: dspy.ChatAdapter(use_native_function_calling=True), ABLE),
    "json": (lambda lm: dspy.JSONAdapter(), Capabilities()),
    "json_native": (lambda lm: dspy.JSONAdapter(), ABLE),
    "xml": (lambda lm: dspy.XMLAdapter(), Capabilities()),
    "baml": (lambda lm: BAMLAdapter(), Capabilities()),
    "two_step": (lambda lm: dspy.TwoStepAdapter(lm), Capabilities()),
}


def _stream(program: Any) -> Any:
    *_, last = dspy.streamify(program, async_streaming=False)(question="q")
    return last


RUNS: dict[str, Callable[[Any], Any]] = {
    "sync": lambda program: program(question="q"),
    "async": lambda program: asyncio.run(program.acall(question="q")),
    "stream": _stream,
}
# DSPy gives these no async way.
NOT_ASYNC = ("ProgramOfThought", "CodeAct", "BestOfN", "Refine")


def _run(module: str, adapter: str, run: str, lm: MockLM) -> Any:
    with dspy.context(lm=lm, adapter=ADAPTERS[adapter][0](lm)):
        return RUNS[run](MODULES[module]())


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("module", MODULES)
def test_a_module_answers_as_the_table_says(module: str, adapter: str, run: str) -> None:
    """Typed outputs arrive through however many steps the module takes."""
    lm = MockLM.deterministic({"q": ANSWER}, capabilities=ADAPTERS[adapter][1])
    if run == "async" and module in NOT_ASYNC:
        with pytest.raises(AttributeError):
            _run(module, adapter, run, lm)
        return
    prediction = _run(module, adapter, run, lm)
    assert (prediction.answer, prediction.score) == ("Paris", 7)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("module", MODULES)
def test_a_module_runs_on_nothing_at_all(module: str, adapter: str) -> None:
    """Derived answers carry every module to its end."""
    prediction = _run(module, adapter, "sync", MockLM(capabilities=ADAPTERS[adapter][1]))
    assert isinstance(prediction.score, int)
    assert "mock_" in prediction.answer


@pytest.mark.parametrize("run", RUNS)
def test_every_call_of_a_module_is_in_the_journal(run: str) -> None:
    """Copies that BestOfN makes, threads that streaming uses: nothing is lost."""
    lm = MockLM.deterministic({"default": ANSWER})
    _run("ReAct", "chat", run, lm)
    assert len(lm.journal) == 3
    assert all(call.error is None for call in lm.journal)
    if run == "sync":
        _run("BestOfN", "chat", run, lm)
        assert len(lm.journal) == 5


@pytest.mark.filterwarnings("ignore:The 'prefix' argument:DeprecationWarning")
def test_chains_are_compared() -> None:
    """MultiChainComparison."""
    with dspy.context(lm=MockLM.deterministic({"q": "Paris"})):
        compare = dspy.MultiChainComparison("question -> answer", M=2)
        prediction = compare([dspy.Prediction(reasoning="r", answer="a")] * 2, question="q")
    assert prediction.answer == "Paris"


def test_programs_run_in_parallel() -> None:
    """Each gets its own answer, from one mock in several threads."""
    lm = MockLM.deterministic({f"q{i}": f"a{i}" for i in range(20)})
    predict = dspy.Predict("question -> answer")
    with dspy.context(lm=lm):
        pairs = [(predict, {"question": f"q{i}"}) for i in range(20)]
        predictions = dspy.Parallel(num_threads=4, disable_progress_bar=True)(pairs)
    assert [prediction.answer for prediction in predictions] == [f"a{i}" for i in range(20)]
    assert sorted(call.seq for call in lm.journal) == list(range(1, 21))


def test_a_majority_is_found() -> None:
    """Over completions, and over an ensemble of programs."""
    lm = MockLM.scripted(["rare", "common", "common"], on_exhausted="cycle")
    with dspy.context(lm=lm):
        assert dspy.majority(dspy.Predict("question -> answer", n=3)(question="q")).answer == "common"
        ensemble = dspy.Ensemble(reduce_fn=dspy.majority).compile([dspy.Predict("question -> answer")] * 3)
        assert ensemble(question="q").answer == "common"


def test_a_program_becomes_async() -> None:
    """Through asyncify."""
    with dspy.context(lm=MockLM.deterministic({"q": "Paris"})):
        assert asyncio.run(dspy.asyncify(dspy.Predict("question -> answer"))(question="q")).answer == "Paris"
