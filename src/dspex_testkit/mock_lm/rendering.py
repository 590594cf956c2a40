"""A completion as the adapter in use writes it, checked by the adapter's own parser before it leaves."""

import inspect
import json
import re
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import dspy
from dspy.lm15 import Message, TextPart

from dspex_testkit.dspy_internals.adapter_text import format_field_value
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.values import to_json
from dspex_testkit.errors import AnswerError
from dspex_testkit.mock_lm.values import fit, to_parseable_json

# Completions of plain values by DSPy's own adapters, per signature. Rendering one and parsing it back is most of a
# mock's work, and tests ask the same things again and again.
_remembered: WeakKeyDictionary[Any, dict[Any, Message]] = WeakKeyDictionary()
_MAX_PER_SIGNATURE = 256


def render(capture: Capture, values: Mapping[str, Any]) -> Message:
    """The completion that carries these values to the capture's adapter: a message of one text.

    Raises:
        AnswerError: The adapter's format cannot carry a value.
    """
    adapter = type(capture.adapter)
    if not adapter.__module__.startswith("dspy.") or not all(type(value) in _PLAIN for value in values.values()):
        return _message(_render(capture, values))
    # True, 1 and 1.0 are equal, so their types belong to the key.
    key = (adapter, *((value, type(value)) for value in values.values()))
    known = _remembered.setdefault(capture.signature, {})
    message = known.get(key)
    if message is None:
        message = _message(_render(capture, values))
        if len(known) >= _MAX_PER_SIGNATURE:
            known.clear()
        known[key] = message
    return message


def _message(text: str) -> Message:
    return Message("assistant", (TextPart(text),))


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _render(capture: Capture, values: Mapping[str, Any]) -> str:
    signature, adapter = capture.signature, capture.adapter
    if isinstance(adapter, dspy.TwoStepAdapter):
        return _draft(adapter, signature, values)
    if isinstance(adapter, dspy.JSONAdapter):
        # JSON has a null of its own.
        carried = dict(values)
    else:
        # Chat and XML would write the text "None"; a field that is left out is read as None.
        carried = {name: value for name, value in values.items() if value is not None}
        signature = _without_fields(signature, [name for name in signature.output_fields if name not in carried])
    if isinstance(adapter, dspy.XMLAdapter):
        return _render_xml(capture, signature, carried, values)
    carried = {name: to_parseable_json(value) for name, value in carried.items()}
    if not isinstance(adapter, dspy.JSONAdapter):
        carried = {name: _on_one_line(value) for name, value in carried.items()}
    text: str = adapter.format_assistant_message_content(signature, carried)
    _check(capture, text, values)
    return text


def _render_xml(capture: Capture, signature: Any, carried: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    adapter = capture.adapter
    escaped = {name: _xml_safe(signature, name, value) for name, value in carried.items()}
    text: str = adapter.format_assistant_message_content(signature, escaped)
    try:
        parsed = _check(capture, text, values)
    except AnswerError:
        parsed = {}
    if parsed != dict(values):
        # DSPy does not read every nested value back from tags (a list in an optional model, the number in a
        # dict[str, Any]); JSON inside the tag it does.
        as_json = {name: _xml_safe(signature, name, value, nested_as_json=True) for name, value in carried.items()}
        text = adapter.format_assistant_message_content(signature, as_json)
        _check(capture, text, values)
    return text


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


def _read_draft(written: str, annotation: Any) -> Any:
    return None if written == "null" and annotation is not str else fit(written, annotation)


def _draft(adapter: Any, signature: Any, values: Mapping[str, Any]) -> str:
    """Free text from which the second step can read every value, whatever its type."""
    written = {}
    for name in signature.output_fields:
        value = to_parseable_json(values[name])
        written[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return str(adapter.format_assistant_message_content(signature, written))


def _on_one_line(value: Any) -> Any:
    """Nested values as JSON without the characters at which the chat adapter breaks lines."""
    if not isinstance(value, dict | list):
        return value
    return _LINE_BREAK.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


_LINE_BREAK = re.compile("[\x85\u2028\u2029]")


def _without_fields(signature: Any, names: list[str]) -> Any:
    for name in names:
        signature = signature.delete(name)
    return signature


def _xml_safe(signature: Any, name: str, value: Any, *, nested_as_json: bool = False) -> Any:
    """The adapter escapes plain texts and nested values; Literals, enums and the like are left to us."""
    info = signature.output_fields[name]
    jsonable = to_json(value)
    if nested_as_json and isinstance(jsonable, dict | list):
        value = jsonable = json.dumps(to_parseable_json(value), ensure_ascii=False)
    if info.annotation is str or not isinstance(jsonable, str):
        return value
    written = format_field_value(field_info=info, value=value)
    return written.replace("&", "&amp;").replace("<", "&lt;") if isinstance(written, str) else value


def _check(capture: Capture, text: str, values: Mapping[str, Any]) -> dict[str, Any]:
    adapter, signature = capture.adapter, capture.signature
    try:
        # Unwrapped: the program's callbacks are not to hear of our own parsing.
        parsed: dict[str, Any] = inspect.unwrap(type(adapter).parse)(adapter, signature, text)
    except (dspy.AdapterParseError, ValueError) as error:
        raise _cannot_carry(adapter, values, str(error).strip().split("\n", 1)[0]) from error
    for name, info in signature.output_fields.items():
        if info.annotation is str and _lines(parsed[name]) != _lines(values[name]):
            raise _cannot_carry(adapter, values, f"{name!r} would be read as {parsed[name]!r}")
    return parsed


def _lines(text: Any) -> str:
    # Adapters trim texts and know one kind of line end.
    return text if text.isalnum() else "\n".join(line.rstrip() for line in text.splitlines()).strip()


def _cannot_carry(adapter: Any, values: Mapping[str, Any], why: str) -> AnswerError:
    name = type(adapter).__name__
    return AnswerError(
        f"{name} cannot carry this answer: {why}. Answer without the adapter's own markup, or use another adapter.",
        details={"adapter": name, "values": {key: to_json(value) for key, value in values.items()}},
    )
