"""`DummyLM` in the place of DSPy's, as a `MockLM`: a program's tests change one import.

What differs is told, and tested, in the how-to: an exhausted list and a question without an answer are errors here,
not the text "No more responses"; every adapter works; answers stream, count tokens, and are in a journal.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import dspy

from dspex_testkit.dspy_internals.adapter_text import write_fields
from dspex_testkit.errors import NoMatchingRuleError, ScriptExhaustedError
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.forms import Fixed, demo_answer
from dspex_testkit.mock_lm.lm import MockLM
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.reading_forms import read_form
from dspex_testkit.nearest import most_similar

_REASONING = "Some reasoning"


class DummyLM(MockLM):
    """A mock from what `dspy.utils.DummyLM` takes.

    Args:
        answers: Answers in order, as a list or anything that can be iterated, even without an end; or answers by a
            text that the last message contains (the first one that it contains, in the order given). An answer has
            values per output field, or is a plain text for the one output. Without any it must not be asked.
        follow_examples: Answer as the demo with the same inputs does; then as `answers` say.
        reasoning: Send some native reasoning along.
        adapter: In which form a call that no program makes is answered; programs are answered for theirs.
    """

    def __init__(
        self,
        answers: Iterable[Any] | Mapping[str, Any],
        follow_examples: bool = False,
        reasoning: bool = False,
        adapter: Any = None,
    ) -> None:
        super().__init__({"mode": "function", "function": self._answer}, model="dummy")
        self.model = "dummy"
        self._given = answers if isinstance(answers, Mapping | Sequence) else None
        self.answers: Any = answers if isinstance(answers, Mapping) else iter(answers)
        self.follow_examples = follow_examples
        self.reasoning = reasoning
        self.adapter = adapter or dspy.ChatAdapter()
        self._taken = 0
        self._lock = threading.Lock()
        kind = "deterministic" if isinstance(answers, Mapping) else "scripted"
        self.mock_engine.identity = replace(self.mock_engine.identity, engine=kind)

    def get_convo(self, index: int) -> tuple[Any, Any]:
        """The messages and the answers of a call, by its place in the history."""
        entry = self.history[index]
        return entry["messages"], entry["outputs"]

    def dump_state(self) -> dict[str, Any]:
        """What `load_state` needs.

        Raises:
            TypeError: The answers come from an iterator, which cannot be asked what else it has.
        """
        if self._given is None:
            raise TypeError("A DummyLM whose answers come from an iterator cannot be saved: give it a list.")
        return self.dump_identity() | {
            "answers": dict(self._given) if isinstance(self._given, Mapping) else list(self._given),
            "follow_examples": self.follow_examples,
            "reasoning": self.reasoning,
        }

    @classmethod
    def load_state(cls, state: dict[str, Any], *, allow_custom_lm_class: bool = False) -> Self:
        """The mock that was dumped, with a journal and a position of its own."""
        return cls(state["answers"], follow_examples=state["follow_examples"], reasoning=state["reasoning"])

    def _answer(self, call: MockCall) -> Answer:
        answer = self._decided(call)
        if self.reasoning and answer.reasoning is None:
            answer = replace(answer, reasoning=_REASONING)
        if call.capture is None and answer.fields is not None:
            # As DSPy's answers whoever reads the text itself.
            answer = replace(answer, fields=None, completion=write_fields(self.adapter, answer.fields))
        return answer

    def _decided(self, call: MockCall) -> Answer:
        if self.follow_examples and (fields := demo_answer(call)) is not None:
            return Answer(rule="demo", fields=fields)
        if isinstance(self.answers, Mapping):
            for key, answer in self.answers.items():
                if key in call.prompt:
                    return self._read(answer, f"answers[{key!r}]", call)
            raise self._nothing_said(call)
        with self._lock:
            index, self._taken = self._taken, self._taken + 1
            try:
                answer = next(self.answers)
            except StopIteration:
                raise self._at_the_end(index, call) from None
        return self._read(answer, f"answers[{index}]", call)

    def _read(self, answer: Any, label: str, call: MockCall) -> Answer:
        form = read_form(answer, label)
        return form.answer if isinstance(form, Fixed) else form.resolve(call, self.mock_engine.state)

    def _nothing_said(self, call: MockCall) -> NoMatchingRuleError:
        near = most_similar(call.prompt, self.answers)
        known = f"Nearest of {len(self.answers)}: {', '.join(map(repr, near))}." if near else _NONE
        return NoMatchingRuleError(
            f"The last message of {call.describe()} contains no text that this mock has an answer for. {known}",
            details={"signature": call.signature_name, "nearest": near},
        )

    def _at_the_end(self, index: int, call: MockCall) -> ScriptExhaustedError:
        known = f"This mock has {index} answers and this is call {index + 1}" if index else _NONE.rstrip(".")
        return ScriptExhaustedError(
            f"{known}: {call.describe()}.", details={"answers": index, "signature": call.signature_name}
        )


_NONE = "This mock was given no answers, so it must not be asked."
