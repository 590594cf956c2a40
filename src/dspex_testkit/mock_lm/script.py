"""Answers in the order of the calls."""

from collections.abc import Sequence
from typing import Any

from dspex_testkit.calls import Counters
from dspex_testkit.errors import ScriptExhaustedError
from dspex_testkit.mock_lm.answers import Answer, answer_from
from dspex_testkit.mock_lm.mock_call import MockCall


class Script:
    """Answers from a list, one per call.

    Args:
        answers: What to say.
        state: Keeps the position.
        on_exhausted: After the last answer: fail, begin again, or repeat the last one.
    """

    def __init__(self, answers: Sequence[Any], state: Counters, *, on_exhausted: str = "error") -> None:
        self._answers = tuple(answer_from(value, f"script[{i}]") for i, value in enumerate(answers))
        self._state = state
        self._on_exhausted = on_exhausted

    def answer(self, call: MockCall) -> Answer:
        """The next answer.

        Raises:
            ScriptExhaustedError: There is none left.
        """
        index = self._state.next_index("script")
        if index < len(self._answers):
            return self._answers[index]
        if self._on_exhausted == "cycle":
            return self._answers[index % len(self._answers)]
        if self._on_exhausted == "last":
            return self._answers[-1]
        raise ScriptExhaustedError(
            f"The script of this mock has {len(self._answers)} answers and this is call {index + 1}: "
            f"{call.describe()}. Add an answer, or write on_exhausted='cycle' or 'last'.",
            details={"answers": len(self._answers), "call": index + 1, "signature": call.signature_name},
        )
