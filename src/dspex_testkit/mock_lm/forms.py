"""What an answer can be, as it was written: always the same, one after the other, a template, or a demo's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from dspex_testkit.calls import Counters
from dspex_testkit.errors import AnswerError, NoMatchingRuleError, ScriptExhaustedError
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.nearest import nearest_hint

if TYPE_CHECKING:
    from dspex_testkit.mock_lm.mock_call import MockCall


class AnswerForm(Protocol):
    """An answer as it was written; it becomes an `Answer` when somebody asks."""

    def resolve(self, call: "MockCall", counters: Counters) -> Answer:
        """The answer to this call."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same answer."""

    answer: Answer

    def resolve(self, call: "MockCall", counters: Counters) -> Answer:
        """The answer."""
        return self.answer


@dataclass(frozen=True, slots=True)
class Sequenced:
    """One answer after the other."""

    label: str
    forms: Sequence[AnswerForm]
    on_exhausted: str
    base: Answer

    def resolve(self, call: "MockCall", counters: Counters) -> Answer:
        """The next answer.

        Raises:
            ScriptExhaustedError: There is none left.
        """
        index = counters.next_index(f"answers:{self.label}")
        count = len(self.forms)
        if index >= count and self.on_exhausted == "error":
            raise exhausted(self.label, count, index, call)
        form = self.forms[index % count if self.on_exhausted == "cycle" else min(index, count - 1)]
        return _merge(self.base, form.resolve(call, counters))


@dataclass(frozen=True, slots=True)
class Template:
    """Texts with `{input}` in them; `{{` and `}}` stand for braces."""

    label: str
    text: str | Mapping[str, str]
    base: Answer

    def resolve(self, call: "MockCall", counters: Counters) -> Answer:
        """The filled template.

        Raises:
            AnswerError: It names an input that the call does not have.
        """
        if isinstance(self.text, str):
            return replace(self.base, value=self._fill(self.text, call))
        return replace(self.base, fields={name: self._fill(text, call) for name, text in self.text.items()})

    def _fill(self, text: str, call: "MockCall") -> str:
        def put(match: re.Match[str]) -> str:
            name = match.group(1)
            if name is None:
                return match.group(0)[0]
            if name not in call.visible_inputs:
                known = list(call.visible_inputs)
                raise AnswerError(
                    f"The template of {self.label} names the input {name!r}, which {call.describe()} does not have"
                    f"{nearest_hint(name, known)}; its inputs are {', '.join(map(repr, known))}.",
                    details={"rule": self.label, "unknown": name, "inputs": known},
                )
            return str(call.visible_inputs[name])

        return re.sub(r"\{\{|\}\}|\{(\w+)\}", put, text)


@dataclass(frozen=True, slots=True)
class FollowDemos:
    """The outputs of the demo whose inputs are those of the call; the last one where several are."""

    label: str
    base: Answer

    def resolve(self, call: "MockCall", counters: Counters) -> Answer:
        """The demo's answer.

        Raises:
            NoMatchingRuleError: No demo has these inputs.
        """
        fields = demo_answer(call)
        if fields is None:
            raise NoMatchingRuleError(
                f"{self.label} follows the demos, but none of the {len(call.demos)} in the prompt has the inputs of "
                f"{call.describe()}. Add such a demo, or another answer for this call.",
                details={"rule": self.label, "demos": len(call.demos), "signature": call.signature_name},
            )
        return replace(self.base, fields=fields)


def demo_answer(call: "MockCall") -> dict[str, Any] | None:
    """What the demos in the prompt answer to the call's inputs, if one has them."""
    if call.capture is None:
        return None
    shape = call.shape
    for demo in reversed(call.demos):
        if all(name in demo and demo[name] == value for name, value in call.inputs.items()):
            return {name: demo[name] for name in shape.outputs if name in demo}
    return None


def exhausted(label: str, count: int, index: int, call: "MockCall") -> ScriptExhaustedError:
    """The error of a list of answers that has come to its end."""
    return ScriptExhaustedError(
        f"{label} has {count} answers and this is number {index + 1}: {call.describe()}. "
        "Add an answer, or write on_exhausted 'cycle' or 'last'.",
        details={"answers": count, "call": index + 1, "signature": call.signature_name},
    )


def _merge(base: Answer, answer: Answer) -> Answer:
    """What a list says of all its answers, where the answer itself does not."""
    changes = {
        name: getattr(base, name)
        for name in ("tool_calls", "reasoning", "fault", "usage", "cost", "latency_ms", "finish_reason")
        if getattr(answer, name) is None and getattr(base, name) is not None
    }
    return replace(answer, **changes) if changes else answer
