"""The forms in which an answer can be written: in a table, a script, a rule, or as a function's result.

A plain value is for the one output that the caller is after; an object gives values per output field. Keys that begin
with `$` say anything else, alone or beside fields:

    {"$completion": "raw text"}                   sent as it is, whether it parses or not
    {"$template": "Hello {name}"}                 filled from the inputs; may be an object of templates per field
    {"$cycle": ["a", "b"]}                        one after the other, again and again
    {"$list": ["a", "b"], "$on_exhausted": "last"}
    {"$tool_calls": [{"name": "search", "args": {"query": "x"}}]}
    {"$follow_demos": true}                       the demo with the same inputs
    {"$fault": "rate_limit"}                      or an object, see `faults`
    {"$value": …}                                 a plain value beside other `$` keys
    {"answer": "x", "$reasoning": "…", "$usage": {"output_tokens": 9}, "$cost": "0.01", "$latency_ms": 20,
     "$finish_reason": "length"}
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Protocol

from dspex_testkit.calls import Counters
from dspex_testkit.errors import AnswerError, InvalidMockSpecError, NoMatchingRuleError, ScriptExhaustedError
from dspex_testkit.mock_lm.answers import NOTHING, Answer
from dspex_testkit.mock_lm.fault_spec import read_fault
from dspex_testkit.mock_lm.nearest import nearest_hint

if TYPE_CHECKING:
    from dspex_testkit.mock_lm.mock_call import MockCall

_BODIES = ("$value", "$completion", "$template", "$cycle", "$list", "$follow_demos")
_EXTRAS = (
    "$tool_calls",
    "$reasoning",
    "$fault",
    "$usage",
    "$cost",
    "$latency_ms",
    "$finish_reason",
    "$on_exhausted",
)
_USAGE_KEYS = ("input_tokens", "output_tokens", "reasoning_tokens", "cached_tokens")
_ON_EXHAUSTED = ("error", "cycle", "last")


class AnswerForm(Protocol):
    """An answer as it was written; it becomes an `Answer` when somebody asks."""

    def resolve(self, call: "MockCall", counters: Counters) -> Answer:
        """The answer to this call."""
        ...


def read_form(given: Any, label: str) -> AnswerForm:
    """Read an answer in any form.

    Args:
        given: What was written.
        label: What it is called in the journal and in messages.

    Raises:
        InvalidMockSpecError: A `$` key is unknown, has a wrong value, or contradicts another.
    """
    if isinstance(given, Answer):
        return Fixed(replace(given, rule=given.rule or label))
    if not isinstance(given, Mapping):
        return Fixed(Answer(rule=label, value=given))
    marked = {key: value for key, value in given.items() if isinstance(key, str) and key.startswith("$")}
    if not marked:
        return Fixed(Answer(rule=label, fields=given))
    for key in marked:
        if key not in _BODIES + _EXTRAS:
            raise InvalidMockSpecError(
                f"{label}: unknown key {key!r}{nearest_hint(key, _BODIES + _EXTRAS)}; "
                f"known are {', '.join(_BODIES + _EXTRAS)}."
            )
    fields = {key: value for key, value in given.items() if key not in marked}
    bodies = [key for key in _BODIES if key in marked] + (["fields"] if fields else [])
    if len(bodies) > 1:
        raise InvalidMockSpecError(f"{label}: {' and '.join(bodies)} contradict each other; write one of them.")
    return _with_body(marked, fields, _extras(marked, label), label)


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


def _with_body(marked: Mapping[str, Any], fields: Mapping[str, Any], base: Answer, label: str) -> AnswerForm:
    if "$cycle" in marked or "$list" in marked:
        key = "$cycle" if "$cycle" in marked else "$list"
        given = marked[key]
        if not isinstance(given, list | tuple) or not given:
            raise InvalidMockSpecError(f"{label}: {key} must be a list with at least one answer, not {given!r}.")
        forms = [read_form(item, f"{label}[{i}]") for i, item in enumerate(given)]
        on_exhausted = "cycle" if key == "$cycle" else marked.get("$on_exhausted", "error")
        if on_exhausted not in _ON_EXHAUSTED:
            raise InvalidMockSpecError(f"{label}: $on_exhausted must be one of {_ON_EXHAUSTED}, not {on_exhausted!r}.")
        return Sequenced(label, forms, on_exhausted, base)
    if "$template" in marked:
        text = marked["$template"]
        if not isinstance(text, str) and not (
            isinstance(text, Mapping) and all(isinstance(part, str) for part in text.values())
        ):
            raise InvalidMockSpecError(f"{label}: $template must be a text, or texts per output field, not {text!r}.")
        return Template(label, text, base)
    if "$follow_demos" in marked:
        return FollowDemos(label, base)
    if "$completion" in marked:
        if not isinstance(marked["$completion"], str):
            raise InvalidMockSpecError(f"{label}: $completion must be a text, not {marked['$completion']!r}.")
        return Fixed(replace(base, completion=marked["$completion"]))
    return Fixed(replace(base, value=marked.get("$value", NOTHING), fields=fields or None))


def _extras(marked: Mapping[str, Any], label: str) -> Answer:
    reasoning, finish = marked.get("$reasoning"), marked.get("$finish_reason")
    for key, text in (("$reasoning", reasoning), ("$finish_reason", finish)):
        if text is not None and not isinstance(text, str):
            raise InvalidMockSpecError(f"{label}: {key} must be a text, not {text!r}.")
    return Answer(
        rule=label,
        tool_calls=_tool_calls(marked["$tool_calls"], label) if "$tool_calls" in marked else None,
        reasoning=reasoning,
        fault=read_fault(marked["$fault"], label) if "$fault" in marked else None,
        usage=_usage(marked["$usage"], label) if "$usage" in marked else None,
        cost=_cost(marked["$cost"], label) if "$cost" in marked else None,
        latency_ms=marked.get("$latency_ms"),
        finish_reason=finish,
    )


def _tool_calls(given: Any, label: str) -> tuple[Mapping[str, Any], ...]:
    calls = [given] if isinstance(given, Mapping) else given
    for call in calls if isinstance(calls, list | tuple) else [None]:
        if (
            not isinstance(call, Mapping)
            or not isinstance(call.get("name"), str)
            or not isinstance(call.get("args", {}), Mapping)
            or call.keys() - {"name", "args", "id"}
        ):
            raise InvalidMockSpecError(
                f"{label}: $tool_calls must be objects such as {{'name': 'search', 'args': {{'query': 'x'}}}}, "
                f"not {call or given!r}."
            )
    return tuple(calls)


def _usage(given: Any, label: str) -> dict[str, int]:
    if not isinstance(given, Mapping) or any(
        isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in given.values()
    ):
        raise InvalidMockSpecError(f"{label}: $usage must be counts such as {{'output_tokens': 9}}, not {given!r}.")
    for key in given:
        if key not in _USAGE_KEYS:
            raise InvalidMockSpecError(
                f"{label}: unknown key {key!r} in $usage{nearest_hint(str(key), _USAGE_KEYS)}; "
                f"known are {', '.join(_USAGE_KEYS)}."
            )
    return dict(given)


def _cost(given: Any, label: str) -> Decimal:
    try:
        return Decimal(str(given))
    except InvalidOperation:
        raise InvalidMockSpecError(f"{label}: $cost must be US dollars such as '0.01', not {given!r}.") from None


def _merge(base: Answer, answer: Answer) -> Answer:
    """What a list says of all its answers, where the answer itself does not."""
    changes = {
        name: getattr(base, name)
        for name in ("tool_calls", "reasoning", "fault", "usage", "cost", "latency_ms", "finish_reason")
        if getattr(answer, name) is None and getattr(base, name) is not None
    }
    return replace(answer, **changes) if changes else answer
