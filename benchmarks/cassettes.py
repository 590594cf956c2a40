"""What a replayed call costs as its cassette grows, at both levels, and how long a cassette takes to load."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import dspy
import httpx
from vcr import VCR
from vcr.cassette import Cassette

from benchmarks.measure import Figure, compare, timed
from benchmarks.mock_engine import ConstantEngine
from dspex_testkit import cassettes
from dspex_testkit.cassettes import index_cache, yaml_text
from dspex_testkit.cassettes.cassette import OpenCassette
from dspex_testkit.cassettes.document import Document
from dspex_testkit.mock_lm import MockLM

_SIZES = (10, 1_000, 10_000)
_URL = "https://llm.test/v1/chat/completions"


def figures(*, scale: float) -> Iterator[Figure]:
    """Replay against a constant engine at growing sizes, and loading against vcrpy."""
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-benchmarks-") as folder, _cache_in(folder):
        template = _recorded(Path(folder) / "one.yaml")
        constant = dspy.LM("mock/mock", engine=ConstantEngine(), cache=False, num_retries=0)
        for size in _SIZES:
            path = _grown(Path(folder) / f"{size}.yaml", template, size)
            replayed = cassettes.replay(path, allow_playback_repeats=True)
            yield compare(
                f"CPU time of `dspy.Predict` replayed from a cassette of {size:,} interactions",
                "the same on an engine that returns a constant",
                run_subject=timed(_predict_on(replayed, size), repeats=5, clock=time.process_time),
                run_baseline=timed(_predict_on(constant, size), repeats=5, clock=time.process_time),
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


def http_figures(*, scale: float) -> Iterator[Figure]:
    """Replay of HTTP traffic through plain httpx, at growing sizes, against plain vcrpy on the same file.

    Each patches the same client, so they take turns by the opening of the file, and not by the request.
    """
    taken: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-benchmarks-") as folder:
        for size, aim in ((10, 1), (1_000, 100), (10_000, 1_000)):
            held = max(10, int(size * min(1, 10 * scale)))
            path = _traffic(Path(folder) / f"{size}.yaml", held)
            theirs, ours = list[float](), list[float]()
            for _ in range(max(1, int(2 * scale))):
                matching = VCR(match_on=("method", "uri", "body"), record_mode="none")
                theirs += _answered(matching.use_cassette(str(path), allow_playback_repeats=True), held, times=5)
                replayed = cassettes.http_cassette(path, canonical_host=None, allow_playback_repeats=True)
                ours += _answered(replayed, held, times=max(5, int(300 * scale)))
            taken[size] = median(ours)
            yield Figure(
                f"CPU time of plain vcrpy for an HTTP request among {size:,} (fewer if scaled down), bodies matched",
                "ours, on the same file",
                median(theirs) * 1e3,
                median(ours) * 1e3,
                aim,
                len(ours),
                at_least=True,
            )
    yield Figure(
        "CPU time of ours for an HTTP request among 10,000 (fewer if scaled down)",
        "among 10",
        taken[10_000] * 1e3,
        taken[10] * 1e3,
        1.25,
        1,
    )


def _traffic(path: Path, size: int) -> Path:
    """HTTP traffic of so many questions, as vcrpy keeps it."""
    headers = {"content-type": ["application/json"]}
    interactions = [
        {
            "request": {"method": "POST", "uri": _URL, "headers": headers, "body": json.dumps(_asking(number))},
            "response": {
                "status": {"code": 200, "message": "OK"},
                "headers": headers,
                "body": {"string": json.dumps({"choices": [{"message": {"content": "Paris"}}]})},
            },
        }
        for number in range(size)
    ]
    path.write_text(yaml_text.dump({"interactions": interactions, "version": 1}), encoding="utf-8")
    return path


def _answered(opened: AbstractContextManager[Any], size: int, *, times: int) -> list[float]:
    """The seconds that requests take in an open cassette, without the first of a client, which sets it up."""
    body = _asking(size // 2)
    with opened, httpx.Client() as client:

        def ask() -> None:
            client.post(_URL, json=body).raise_for_status()

        ask()
        once = timed(ask, clock=time.process_time)
        return [once() for _ in range(times)]


def _asking(number: int) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": _question(number)}]}


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
