"""From a decided answer to one typed value per output field.

What the answer names is converted to the field's type or refused; what it leaves open is made up.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from dspex_testkit.dspy_internals.adapter_text import get_annotation_name
from dspex_testkit.dspy_internals.call_stack import asked_by_dspy
from dspex_testkit.engines.signature_shape import REASONING_NAMES
from dspex_testkit.engines.values import PLAIN, to_json
from dspex_testkit.errors import AnswerError
from dspex_testkit.mock_lm.agents import agent_step, check_tools, chosen_tools
from dspex_testkit.mock_lm.answers import NOTHING, Answer
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.typed_values import ValueMaker
from dspex_testkit.mock_lm.values import fit
from dspex_testkit.nearest import nearest_hint

_PLAIN = frozenset(PLAIN)

MakerFor = Callable[[MockCall], ValueMaker]
"""Who makes up what answers leave open, for one call."""
GetMaker = Callable[[], ValueMaker]
"""The same for this call, made once somebody needs it."""


@dataclass(frozen=True, slots=True)
class Completed:
    """One typed value per output field, and where it comes from."""

    values: Mapping[str, Any]
    given: Collection[str] = ()
    """The fields that the answer gives; the others were made up."""
    written: Mapping[str, Any] = field(default_factory=dict)
    """What the author wrote for them, before it was typed."""

    @property
    def is_plain(self) -> bool:
        """Whether every value is JSON as it is."""
        return all(type(value) in _PLAIN for value in self.values.values())

    def only(self, names: Collection[str]) -> "Completed":
        """The same with these fields alone."""
        if len(names) == len(self.values):
            return self
        return Completed(
            {name: value for name, value in self.values.items() if name in names},
            [name for name in self.given if name in names],
            self.written,
        )


def complete(answer: Answer, call: MockCall, get_maker: GetMaker) -> Completed:
    """One value per output field of the call's full signature.

    Raises:
        AnswerError: The answer names a field that the signature lacks, or a value does not fit its type.
    """
    outputs = call.shape.outputs
    beside = call.is_agent_step and _is_beside_the_point(answer, call)
    written = {} if answer.is_open or beside else _written_fields(answer, call)
    values = {
        name: fit_field(value, name, outputs[name].annotation, rule=answer.rule, call=call)
        for name, value in written.items()
    }
    if answer.tool_calls is not None:
        values |= chosen_tools(answer.tool_calls, call, rule=answer.rule)
    if answer.reasoning is not None and call.shape.reasoning is not None:
        values = {call.shape.reasoning: _reasoning(answer.reasoning, call), **values}
    given = tuple(values)
    if call.is_agent_step:
        check_tools(values, call, rule=answer.rule)
    if call.step_fields - values.keys():
        # An agent's step is made as a whole, so that a tool gets its own arguments.
        values = {**agent_step(call, get_maker(), _finals(answer, call, get_maker)), **values}
    if len(values) < len(outputs) or len(outputs) > 1:
        values = {
            name: values[name] if name in values else _made_up(get_maker(), name, info, call)
            for name, info in outputs.items()
        }
    return Completed(values, given, written)


def fit_field(value: Any, name: str, annotation: Any, *, rule: str, call: MockCall) -> Any:
    """Convert a given value, or say which answer does not fit which field."""
    try:
        return fit(value, annotation)
    except (ValueError, TypeError) as error:
        kind = get_annotation_name(annotation)
        raise AnswerError(
            f"The answer {value!r} of {rule} does not fit the output {name!r} of {call.signature_name}, "
            f"which is of type {kind}: {_first_line(error)}. Write a value of that type.",
            details={"rule": rule, "field": name, "type": kind, "value": to_json(value)},
        ) from error


def _written_fields(answer: Answer, call: MockCall) -> dict[str, Any]:
    """What the author wrote, per output field."""
    outputs = call.shape.outputs
    main = str(call.shape.main_output)
    fields = answer.fields
    if fields is None:
        return {main: answer.value}
    unknown = [name for name in fields if name not in outputs]
    if unknown and len(unknown) == len(fields):
        try:
            # The object itself may be what the one output holds.
            fit(dict(fields), outputs[main].annotation)
            return {main: dict(fields)}
        except (ValueError, TypeError):
            pass
    if unknown and not asked_by_dspy(call.full_signature):
        raise AnswerError(
            f"The answer of {answer.rule} names {', '.join(map(repr, unknown))}, which {call.signature_name} does not "
            f"have; its outputs are {', '.join(map(repr, outputs))}{nearest_hint(str(unknown[0]), outputs)}. "
            "Name one of these, or give a plain value for a single output.",
            details={"rule": answer.rule, "unknown": unknown, "outputs": list(outputs)},
        )
    return {name: value for name, value in fields.items() if name in outputs}


def _is_beside_the_point(answer: Answer, call: MockCall) -> bool:
    """Whether the answer is about the program's outputs while an agent asks for its next step."""
    if answer.fields is None:
        return call.shape.main_output in call.step_fields
    return not answer.fields.keys() & call.shape.outputs.keys()


def _reasoning(text: str, call: MockCall) -> Any:
    annotation = call.shape.outputs[str(call.shape.reasoning)].annotation
    return fit(text, annotation)


def _finals(answer: Answer, call: MockCall, get_maker: GetMaker) -> Callable[[str, Any], Any]:
    """What the answer says about the program's outputs, for an agent's last step."""
    fields = answer.fields or {}
    remaining = [] if answer.value is NOTHING else [answer.value]

    def final_value(name: str, annotation: Any) -> Any:
        if name in fields:
            return fit_field(fields[name], name, annotation, rule=answer.rule, call=call)
        if remaining and name not in REASONING_NAMES:
            return fit_field(remaining.pop(), name, annotation, rule=answer.rule, call=call)
        return get_maker().value(annotation, name)

    return final_value


def _made_up(maker: ValueMaker, name: str, info: Any, call: MockCall) -> Any:
    try:
        return maker.field(name, info)
    except ValueError as error:
        raise AnswerError(
            f"No value can be made up for the output {name!r} of {call.signature_name}: {_first_line(error)}. "
            "Give one in the mock's answers.",
            details={"field": name},
        ) from error


def _first_line(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if callable(details):
        problems: list[Any] = details()
        return "; ".join(str(problem["msg"]) for problem in problems[:3])
    return str(error).split("\n", 1)[0]
