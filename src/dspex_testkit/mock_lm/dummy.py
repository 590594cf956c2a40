"""`DummyLM`'s three forms, answered by a `MockLM`: a program's tests change one import.

What differs: an exhausted list and a question without an answer are errors here, not the text "No more responses";
every adapter works; answers stream, count tokens, and are in a journal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dspex_testkit.mock_lm.lm import MockLM


def DummyLM(  # named as what it replaces
    answers: Sequence[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]],
    follow_examples: bool = False,
    reasoning: bool = False,
    adapter: Any = None,
) -> MockLM:
    """A mock from what `dspy.utils.DummyLM` takes.

    Args:
        answers: A list of answers in order, or answers by a text that the last message contains (the first one that
            it contains, in the order given).
        follow_examples: Answer as the demo with the same inputs does; then as `answers` say.
        reasoning: Send some native reasoning along.
        adapter: Not needed: an answer is written for the adapter that asks.
    """
    extra = {"$reasoning": "Some reasoning"} if reasoning else {}
    if isinstance(answers, Mapping):
        rules = [
            {
                "name": f"answers[{key!r}]",
                "when": {"prompt": {"contains": key}},
                "answer": {**answer, **extra},
                "priority": -index,
            }
            for index, (key, answer) in enumerate(answers.items())
        ]
        return MockLM({"mode": "deterministic", "rules": rules, "follow_demos": follow_examples}, model="dummy")
    script = [{**answer, **extra} for answer in answers]
    if not script:
        return MockLM({"mode": "deterministic", "follow_demos": follow_examples}, model="dummy")
    return MockLM({"script": script, "follow_demos": follow_examples}, model="dummy")
