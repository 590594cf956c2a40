"""A completion as the adapter in use writes it, compared with what was given before it leaves.

Each field is written in the first form from which the adapter reads its value again: the typed value, an enum by its
name, what the author wrote. What was made up only has to be readable: what the adapter reads is then the value.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final
from weakref import WeakKeyDictionary

import dspy
from dspy.lm15 import Message, TextPart

from dspex_testkit.dspy_internals.adapter_text import format_field_value, get_annotation_name
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.values import to_json
from dspex_testkit.errors import AnswerError
from dspex_testkit.limits import brief
from dspex_testkit.mock_lm.completing import Completed
from dspex_testkit.mock_lm.values import fit, same_value, to_input

# Completions of plain values by DSPy's own adapters, per signature. Rendering one and parsing it back is most of a
# mock's work, and tests ask the same things again and again.
_remembered: WeakKeyDictionary[Any, dict[Any, Message]] = WeakKeyDictionary()
_MAX_PER_SIGNATURE = 256
_UNREADABLE = (dspy.AdapterParseError, ValueError, TypeError)
"""What adapters raise for a text that they cannot read, and for a type that they have no schema for."""


class UnreadableError(AnswerError):
    """The adapter cannot read what was made up; other values it may."""


class _LeftOut:
    """Stands for a field that is not written, which Chat and XML read as None."""


_LEFT_OUT: Final = _LeftOut()


def render(capture: Capture, completed: Completed) -> tuple[Message, Mapping[str, Any]]:
    """The completion that carries these values to the capture's adapter, a message of one text; and what it will read.

    Raises:
        UnreadableError: The adapter cannot read a value that was made up.
        AnswerError: The adapter's format cannot carry a value that was given.
    """
    adapter, values = type(capture.adapter), completed.values
    if not adapter.__module__.startswith("dspy.") or not completed.is_plain:
        text, read = _render(capture, completed)
        return _message(text), read
    # True, 1 and 1.0 are equal, so their types belong to the key.
    key = (adapter, *((value, type(value)) for value in values.values()))
    known = _remembered.setdefault(capture.signature, {})
    message = known.get(key)
    if message is not None:
        return message, values
    text, read = _render(capture, completed)
    message = _message(text)
    if same_value(dict(values), dict(read)):
        if len(known) >= _MAX_PER_SIGNATURE:
            known.clear()
        known[key] = message
    return message, read


def extract_fields(signature: Any, text: str) -> dict[str, Any] | None:
    """Read the fields back out of a TwoStep draft; None if the text was not written by `render`."""
    names = list(signature.output_fields)
    pattern = r"\n\n".join(rf"{re.escape(name)}: (.*?)" for name in names)
    found = re.fullmatch(pattern, text.strip(), re.DOTALL)
    if found is None:
        return None
    return {
        name: _read_draft(written, signature.output_fields[name].annotation)
        for name, written in zip(names, found.groups(), strict=True)
    }


def _message(text: str) -> Message:
    return Message("assistant", (TextPart(text),))


def _render(capture: Capture, completed: Completed) -> tuple[str, Mapping[str, Any]]:
    read: Mapping[str, Any]
    forms = {name: next(_forms(capture, name, completed)) for name in completed.values}
    try:
        text, read = _write_and_read(capture, forms)
    except _UNREADABLE:
        lost = list(completed.values)
    else:
        lost = [name for name, value in completed.values.items() if not same_value(value, read[name])]
    if lost:
        forms.update({name: _form_that_arrives(capture, name, completed) for name in lost})
        text, read = _render_again(capture, completed, forms)
    return text, {name: value if name in completed.given else read[name] for name, value in completed.values.items()}


def _render_again(capture: Capture, completed: Completed, forms: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Each field arrives alone; do they together? A value may hold the marker of another field."""
    try:
        text, read = _write_and_read(capture, forms)
    except _UNREADABLE as error:
        given = {name: completed.values[name] for name in completed.given}
        kind: Any = AnswerError if given else UnreadableError
        raise _cannot_carry(capture, given, f"it cannot be read ({_first_line(error)})", kind) from error
    for name in completed.given:
        if not same_value(completed.values[name], read[name]):
            raise _cannot_carry(
                capture, {name: completed.values[name]}, f"{name!r} would be read as {brief(read[name])}"
            )
    return text, read


def _form_that_arrives(capture: Capture, name: str, completed: Completed) -> Any:
    """The first form of a field's value that its adapter reads as that value.

    Raises:
        UnreadableError: There is none, and the value was made up.
        AnswerError: There is none.
    """
    value, why = completed.values[name], ""
    readable = []
    for form in _forms(capture, name, completed):
        try:
            read = _write_and_read(_of_field(capture, name), {name: form})[1][name]
        except _UNREADABLE as error:
            why = why or f"{name!r} cannot be read ({_first_line(error)})"
            continue
        if same_value(value, read):
            return form
        readable.append(form)
        why = f"{name!r} would be read as {brief(read)}"
    if name in completed.given:
        raise _cannot_carry(capture, {name: value}, why, other=_other_adapter(capture, name, completed))
    if not readable:
        raise UnreadableError(f"{type(capture.adapter).__name__} cannot read a value that was made up: {why}.")
    return readable[0]


def _other_adapter(capture: Capture, name: str, completed: Completed) -> str | None:
    """An adapter of DSPy that carries the value, if one does."""
    for other in (dspy.JSONAdapter, dspy.ChatAdapter, dspy.XMLAdapter):
        if type(capture.adapter) is other:
            continue
        instead = replace(capture, adapter=other())
        for form in _forms(instead, name, completed):
            try:
                read = _write_and_read(_of_field(instead, name), {name: form})[1][name]
            except _UNREADABLE:
                continue
            if same_value(completed.values[name], read):
                return str(other.__name__)
    return None


def _forms(capture: Capture, name: str, completed: Completed) -> Iterator[Any]:
    """The ways to write a field's value, the usual one first."""
    value, adapter = completed.values[name], capture.adapter
    if isinstance(adapter, dspy.TwoStepAdapter):
        yield to_input(value)
        return
    if value is None and not isinstance(adapter, dspy.JSONAdapter):
        # They would write the text "None".
        yield _LEFT_OUT
        yield "null"
        return
    usual = to_input(value)
    yield usual
    if isinstance(adapter, dspy.XMLAdapter) and isinstance(usual, dict | list):
        # DSPy does not read every nested value back from tags (a list in an optional model, the number in a
        # dict[str, Any]); JSON inside the tag it does.
        yield json.dumps(usual, ensure_ascii=False)
    if isinstance(value, Enum):
        yield value.name
    if name in completed.written:
        written = to_input(completed.written[name])
        yield written
        if isinstance(written, dict | list) and isinstance(adapter, dspy.XMLAdapter):
            yield json.dumps(written, ensure_ascii=False)
        if isinstance(written, str) and capture.signature.output_fields[name].annotation is not str:
            yield json.dumps(written, ensure_ascii=False)  # a text that looks like a number, where either may stand


def _write_and_read(capture: Capture, forms: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text with these forms, and what the adapter reads from it."""
    signature, adapter = capture.signature, capture.adapter
    if isinstance(adapter, dspy.TwoStepAdapter):
        text = _draft(adapter, signature, forms)
        fields = extract_fields(signature, text)
        if fields is None:
            raise ValueError("no field is found in the draft")
        return text, fields
    carried = {name: form for name, form in forms.items() if form is not _LEFT_OUT}
    for name in forms.keys() - carried.keys():
        signature = signature.delete(name)
    if isinstance(adapter, dspy.XMLAdapter):
        carried = {name: _xml_safe(signature, name, form) for name, form in carried.items()}
    elif not isinstance(adapter, dspy.JSONAdapter):
        carried = {name: _on_one_line(form) for name, form in carried.items()}
    written: str = adapter.format_assistant_message_content(signature, carried)
    # Unwrapped: the program's callbacks are not to hear of our own parsing.
    return written, inspect.unwrap(type(adapter).parse)(adapter, capture.signature, written)


def _of_field(capture: Capture, name: str) -> Capture:
    """The capture as if that field were all that is asked."""
    signature = capture.signature
    for other in signature.output_fields:
        if other != name:
            signature = signature.delete(other)
    return replace(capture, signature=signature)


def _read_draft(written: str, annotation: Any) -> Any:
    return None if written == "null" and annotation is not str else fit(written, annotation)


def _draft(adapter: Any, signature: Any, forms: Mapping[str, Any]) -> str:
    """Free text from which the second step can read every value, whatever its type."""
    written = {
        name: form if isinstance(form, str) else json.dumps(form, ensure_ascii=False) for name, form in forms.items()
    }
    return str(adapter.format_assistant_message_content(signature, written))


def _on_one_line(value: Any) -> Any:
    """Nested values as JSON without the characters at which the chat adapter breaks lines."""
    if not isinstance(value, dict | list):
        return value
    return _LINE_BREAK.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


_LINE_BREAK = re.compile("[\x85\u2028\u2029]")


def _xml_safe(signature: Any, name: str, value: Any) -> Any:
    """The adapter escapes plain texts and nested values; Literals, enums and the like are left to us."""
    info = signature.output_fields[name]
    if info.annotation is str or not isinstance(value, str):
        return value
    written = format_field_value(field_info=info, value=value)
    return written.replace("&", "&amp;").replace("<", "&lt;") if isinstance(written, str) else value


def _cannot_carry(
    capture: Capture,
    given: Mapping[str, Any],
    why: str,
    kind: type[AnswerError] = AnswerError,
    *,
    other: str | None = None,
) -> AnswerError:
    name = type(capture.adapter).__name__
    outputs = capture.signature.output_fields
    told = ", ".join(
        f"{field}={brief(value)} ({get_annotation_name(outputs[field].annotation)})" for field, value in given.items()
    )
    advice = f"{other} can carry it." if other else "Answer without the adapter's own markup, or use another adapter."
    return kind(
        f"{name} cannot carry the answer {told}: {why}. {advice}",
        details={
            "adapter": name,
            "values": {key: to_json(value) for key, value in given.items()},
            "other_adapter": other,
        },
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
