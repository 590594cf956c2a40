"""What an LM is asked, as a `Prompt`: for journals that keep it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dspy.lm15 import Request, TextPart, ThinkingPart, ToolCallPart, ToolResultPart

from dspex_testkit.calls import CallSink, Prompt
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.signature_shape import shape_of
from dspex_testkit.engines.values import to_json, to_json_mapping

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def prompt_for(journal: CallSink, model: str, request: Request, capture: Capture | None) -> Prompt | None:
    """The prompt of a call that is about to be written down; None where the journal keeps no prompts.

    Args:
        journal: Where the call is written.
        model: The LM that was asked: ``provider/model``.
        request: What it was sent.
        capture: What the adapter knew, or None.
    """
    return prompt_of(model, request, capture) if journal.keeps_prompts else None


def prompt_of(model: str, request: Request | None, capture: Capture | None) -> Prompt:
    """A prompt, part by part.

    Args:
        model: The LM that was asked.
        request: What it was sent; None where nobody can say.
        capture: What the adapter knew, or None.
    """
    tools = [] if request is None else [_stable(_tool(tool)) for tool in request.tools]
    messages = [] if request is None else _messages(request)
    if capture is None:
        return Prompt(model=model, tools=tools, messages=messages)
    given, shape = capture.inputs, shape_of(capture.full_signature)
    return Prompt(
        model=model,
        signature=f"{', '.join(shape.inputs)} -> {', '.join(shape.outputs)}",
        adapter=type(capture.adapter).__name__,
        instructions=capture.full_signature.instructions,
        inputs=_stable(to_json_mapping({name: given[name] for name in shape.inputs if name in given})),
        demos=[_stable(to_json_mapping(dict(demo))) for demo in capture.demos],
        tools=tools,
        messages=messages,
    )


def _messages(request: Request) -> list[dict[str, Any]]:
    messages = [{"role": str(message.role), "content": _content(message.parts)} for message in request.messages]
    system = request.system
    if system is None:
        return messages
    text = _stable(system) if isinstance(system, str) else _content(system)
    return [{"role": "system", "content": text}, *messages]


def _content(parts: Sequence[Any]) -> Any:
    """One text, or the parts of a message that has others too."""
    if all(isinstance(part, TextPart) for part in parts):
        return _stable("".join(part.text for part in parts))
    return [_part(part) for part in parts]


def _part(part: Any) -> dict[str, Any]:
    """A part without ids, which differ from run to run; what is no text is named by its kind."""
    match part:
        case TextPart() | ThinkingPart():
            return {"type": part.type, "text": _stable(part.text)}
        case ToolCallPart():
            return {"type": part.type, "name": part.name, "input": _stable(to_json(part.input))}
        case ToolResultPart():
            return {"type": part.type, "name": part.name, "content": _content(part.content)}
        case _:
            return {"type": str(part.type)}


def _tool(tool: Any) -> dict[str, Any]:
    names = ("name", "description", "parameters")
    return {name: to_json(value) for name in names if (value := getattr(tool, name, None)) is not None}


def _stable(value: Any) -> Any:
    """A value without the addresses by which Python tells objects apart."""
    if isinstance(value, str):
        return _ADDRESS.sub(" at 0x…", value) if " at 0x" in value else value
    if isinstance(value, Mapping):
        return {name: _stable(item) for name, item in value.items()}
    return [_stable(item) for item in value] if isinstance(value, list) else value
