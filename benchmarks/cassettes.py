"""What a replayed `dspy.Predict` costs as its cassette grows, and how long a cassette takes to load."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dspy
from vcr.cassette import Cassette

from benchmarks.measure import Figure, compare, timed
from benchmarks.mock_engine import ConstantEngine
from dspex_testkit import cassettes
from dspex_testkit.cassettes import index_cache, yaml_text
from dspex_testkit.cassettes.cassette import OpenCassette
from dspex_testkit.cassettes.document import Document
from dspex_testkit.mock_lm import MockLM

_SIZES = (10, 1_000, 10_000)


def figures(*, scale: float) -> Iterator[Figure]:
    """Replay against a constant engine at growing sizes, and loading against vcrpy."""
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-benchmarks-") as folder, _cache_in(folder):
        template = _recorded(Path(folder) / "one.yaml")
        constant = dspy.LM("mock/mock", engine=ConstantEngine(), cache=False, num_retries=0)
        for size in _SIZES:
            path = _grown(Path(folder) / f"{size}.yaml", template, size)
            replayed = cassettes.replay(path, allow_playback_repeats=True)
            yield compare(
                f"`dspy.Predict` replayed from a cassette of {size:,} interactions",
                "the same on an engine that returns a constant",
                run_subject=timed(_predict_on(replayed, size), repeats=5),
                run_baseline=timed(_predict_on(constant, size), repeats=5),
                rounds=max(5, int(300 * scale)),
                aim=1.15,
            )
        path = Path(folder) / "1000.yaml"
        yield compare(
            "vcrpy loading a cassette of 1,000 interactions",
            "ours, from the copy that it keeps",
            run_subject=timed(lambda: Cassette.load(path=str(path))),
            run_baseline=timed(lambda: OpenCassette(path)),
            rounds=max(2, int(5 * scale)),
            aim=5,
            at_least=True,
        )


@contextmanager
def _cache_in(folder: str) -> Iterator[None]:
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


def _question(number: int) -> str:
    return f"What is the capital of country {number}?"


def _recorded(path: Path) -> Document:
    """One call as a document."""
    mock = MockLM.deterministic({_question(0): "Paris"})
    with cassettes.record(mock, path) as lm:
        _predict_on(lm, 1)()
    return OpenCassette(path).document


def _grown(path: Path, template: Document, size: int) -> Path:
    """A cassette of this many calls, each with a question of its own, with its copy for fast loading."""
    record = template.to_record()
    head, mark, one = yaml_text.dump(record).partition("interactions:\n")
    content = head + mark + "".join(one.replace(_question(0), _question(number)) for number in range(size))
    path.write_text(content, encoding="utf-8")
    calls = [_replaced(record["interactions"][0], _question(0), _question(number)) for number in range(size)]
    index_cache.remember(content.encode(), {**record, "interactions": calls})
    return path


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    return [_replaced(item, old, new) for item in value] if isinstance(value, list) else value


def _predict_on(lm: Any, size: int) -> Callable[[], Any]:
    predict = dspy.Predict("question -> answer")
    question = _question(size // 2)

    def call() -> Any:
        with dspy.context(lm=lm, trace=[], disable_history=True):
            return predict(question=question)

    return call
