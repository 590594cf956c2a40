"""Recordings of tests go to a temporary folder, and so do the copies and locks that belong to them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex_testkit.mock_lm import MockLM


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's cassette lies."""
    return tmp_path / "cassettes" / "test.yaml"


@pytest.fixture
def sums() -> MockLM:
    """An LM that can add."""
    return MockLM.deterministic({"2+2": "4", "2+3": "5", "3+3": "6"}, provider="openai", model="gpt-4o-mini")


@pytest.fixture
def ask() -> Callable[..., str]:
    """Ask an LM a question through `dspy.Predict`."""

    def ask_lm(lm: Any, question: str, **kwargs: Any) -> str:
        with dspy.context(lm=lm):
            return str(dspy.Predict("question -> answer")(question=question, **kwargs).answer)

    return ask_lm
