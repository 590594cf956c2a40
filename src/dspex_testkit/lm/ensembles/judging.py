"""A judge: an LM that is shown the task and the candidates, and picks one."""

from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from dspex_testkit.engines.responses import as_json
from dspex_testkit.lm.ensembles.candidates import Candidate


class JudgeCandidates(dspy.Signature):  # type: ignore[misc]  # dspy has no types
    """Pick the candidate that does the task best."""

    task: dict[str, Any] = dspy.InputField()
    candidates: list[dict[str, Any]] = dspy.InputField(desc="what was answered, in order")
    best: int = dspy.OutputField(desc="the number of the best candidate, counted from 1")


_predict = dspy.Predict(JudgeCandidates)


async def pick_best(task: Mapping[str, Any], answered: Sequence[Candidate]) -> int:
    """The position of the candidate that the LM of the context picks, from 0."""
    candidates = [as_json(candidate.outputs) for candidate in answered]
    with dspy.context(adapter=dspy.ChatAdapter(), trace=[], send_stream=None):
        prediction = await _predict.acall(task=dict(task), candidates=candidates)
    return int(prediction.best) - 1
