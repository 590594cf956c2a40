"""A cassette that stays in the repository: what was recorded once has to replay with every later version."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex_testkit import cassettes

GOLDEN = Path(__file__).parents[2] / "cassettes" / "format-1.yaml"


@pytest.fixture
def lm() -> Any:
    """The recorded LM."""
    return cassettes.replay(GOLDEN, on_exhausted="last")


def test_a_recording_of_the_first_format_replays(lm: Any, ask: Callable[..., str]) -> None:
    """An answer, a stream and a failure that were recorded with the first version still play."""
    assert ask(lm, "What is 2+2?") == "4"
    program = dspy.streamify(dspy.Predict("question -> answer"), async_streaming=False)
    with dspy.context(lm=lm):
        last = list(program(question="Count to three."))[-1]
    assert last.answer == "one, two, three"
    with pytest.raises(dspy.LMRateLimitError):
        ask(lm, "Too fast?")
    assert [call.error is None for call in lm.journal] == [True, True, False]
    assert lm.kwargs["temperature"] == 0.5
    assert lm.supports_function_calling
