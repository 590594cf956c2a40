"""The chat form as DSPy's canonical request, read as by a server: what it does not know it drops.

Pictures, sound and files become marks.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dspy.lm15 import (
    Config,
    FunctionTool,
    Message,
    Reasoning,
    Request,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)

from dspex_testkit.limits import brief, is_number, json_kind
from dspex_testkit.wires.chat_form import Chat, blocks
from dspex_testkit.wires.failures import refuse
from dspex_testkit.wires.fields import object_of, objects
from dspex_testkit.wires.media import media_mark

_TEXT_BLOCKS = frozenset({"text", "input_text", "output_text"})
_EFFORTS = frozenset({"minimal", "low", "medium", "high", "xhigh", "max"})
_AS_GIVEN = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")


def request_of(chat: Chat, model: str, *, wanted: str) -> Request:
    """What is asked.

    Args:
        chat: What the body says.
        model: Who is asked.
        wanted: What the provider calls its messages.

    Raises:
        Refused: It cannot be understood.
    """
    form, conversation = chat.form, _Conversation()
    for index, message in enumerate(objects(form, "messages", required=True)):
        _read_message(message, conversation, f"messages[{index}]")
    config = _config(
        max_tokens=form.get("max_completion_tokens") or form.get("max_tokens"),
        stop=form.get("stop"),
        response_format=_response_format(form.get("response_format")),
        tool_choice=_tool_choice(form),
        reasoning=_reasoning(chat),
        **{name: form.get(name) for name in _AS_GIVEN},
    )
    return conversation.request(model, _functions(form), config, wanted=wanted)


class _Conversation:
    """Collects system texts and messages in order."""

    def __init__(self) -> None:
        self._system: list[str] = []
        self._messages: list[Message] = []

    def system(self, text: str) -> None:
        """Instructions; those after the first message stay where they are."""
        if self._messages:
            self._messages.append(Message("developer", (TextPart(text),)))
        elif text:
            self._system.append(text)

    def user(self, text: str) -> None:
        """What the user said."""
        self._messages.append(Message("user", (TextPart(text),)))

    def assistant(self, text: str, calls: list[ToolCallPart]) -> None:
        """What the model said and called before."""
        parts = ([TextPart(text)] if text or not calls else []) + calls
        self._messages.append(Message("assistant", tuple(parts)))

    def tool_result(self, call_id: str, text: str) -> None:
        """What a tool returned; results that come in a row are one message, as DSPy has them."""
        before = self._messages.pop().parts if self._messages and self._messages[-1].role == "tool" else ()
        self._messages.append(Message("tool", (*before, ToolResultPart(call_id, (TextPart(text),)))))

    def request(self, model: str, tools: tuple[FunctionTool, ...], config: Config, *, wanted: str) -> Request:
        """The whole request.

        Raises:
            Refused: There is nothing to answer; `wanted` is what the provider calls its messages.
        """
        if not self._messages and self._system:
            # Some clients send nothing but instructions.
            self.user(self._system.pop())
        if not self._messages:
            raise refuse("invalid_request", f"{wanted}: at least one message is wanted, none came.")
        return _checked(
            lambda: Request(
                model, tuple(self._messages), system="\n".join(self._system) or None, tools=tools, config=config
            )
        )


def _read_message(message: Mapping[str, Any], conversation: _Conversation, where: str) -> None:
    role, text = message.get("role"), _text(message.get("content"), f"{where}.content")
    if role in ("system", "developer"):
        conversation.system(text)
    elif role == "user":
        conversation.user(text)
    elif role == "assistant":
        functions = [(call.get("id"), object_of(call, "function")) for call in objects(message, "tool_calls")]
        conversation.assistant(text, [_tool_call(i, f.get("name"), f.get("arguments")) for i, f in functions])
    elif role == "tool":
        conversation.tool_result(str(message.get("tool_call_id") or f"call_{message.get('name')}"), text)
    else:
        raise refuse("invalid_request", f"{where}.role: system, user, assistant or tool is wanted, {brief(role)} came.")


def _text(content: Any, where: str) -> str:
    """The text of a message's content: of its blocks the texts, and marks for the others.

    A mock sees no pictures; that one was there may matter to a rule, and which one to a recording.
    """
    return "\n".join(map(_text_of_block, blocks(content, where)))


def _text_of_block(block: Mapping[str, Any]) -> str:
    kind = block.get("type", "text")
    return str(block.get("text") or "") if kind in _TEXT_BLOCKS else media_mark(str(kind), block)


def _functions(form: Mapping[str, Any]) -> tuple[FunctionTool, ...]:
    """The functions among the tools."""
    tools = [tool for tool in objects(form, "tools") if tool.get("type", "function") == "function"]
    return tuple(_function(object_of(tool, "function")) for tool in tools)


def _function(described: Mapping[str, Any]) -> FunctionTool:
    given = described.get("parameters")
    schema = given if isinstance(given, dict) else {"type": "object", "properties": {}}
    tool: FunctionTool = _checked(
        lambda: FunctionTool(described.get("name"), described.get("description") or None, schema)
    )
    return tool


def _tool_call(call_id: Any, name: Any, arguments: Any) -> ToolCallPart:
    """A call that the model made before; arguments as text or as data."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:
            arguments = {}
    given = arguments if isinstance(arguments, dict) else {}
    part: ToolCallPart = _checked(lambda: ToolCallPart(str(call_id or f"call_{name}"), str(name), given))
    return part


def _tool_choice(form: Mapping[str, Any]) -> ToolChoice | None:
    given, parallel = form.get("tool_choice"), form.get("parallel_tool_calls")
    parallel = parallel if isinstance(parallel, bool) else None
    if given is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if not isinstance(given, Mapping):
        return replace(_choice(str(given)), parallel=parallel)
    several = object_of(given, "allowed_tools")
    if not several:
        return replace(_choice("required", object_of(given, "function").get("name")), parallel=parallel)
    names = [str(object_of(tool, "function").get("name")) for tool in objects(several, "tools")]
    choice: ToolChoice = _checked(lambda: ToolChoice(several.get("mode") or "auto", tuple(names), parallel))
    return choice


def _choice(mode: str, name: Any = None) -> ToolChoice:
    """Which tools may or must be called: `auto`, `required`, `none`, or one by name."""
    if name:
        return ToolChoice("required", (str(name),))
    return ToolChoice(mode if mode in ("auto", "required", "none") else "auto")


def _response_format(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, Mapping) or given.get("type") in (None, "text"):
        return None
    if given.get("type") == "json_object":
        return {"type": "json_object"}
    described = given.get("json_schema")
    if not isinstance(described, Mapping):
        raise refuse("invalid_request", "response_format.json_schema: an object is wanted.")
    schema, name, strict = (described.get(key) for key in ("schema", "name", "strict"))
    if not isinstance(schema, Mapping):
        raise refuse("invalid_request", f"The response schema is an object, not {json_kind(schema)}.")
    named = {"name": name} if isinstance(name, str) and name else {}
    enforced = {"strict": strict} if isinstance(strict, bool) else {}
    return {"type": "json_schema", "schema": dict(schema), **named, **enforced}


def _reasoning(chat: Chat) -> Reasoning | None:
    """Thoughts that are to be seen: those that are not are nothing that a server could answer with."""
    if chat.thinking.budget == 0:
        return Reasoning("off")
    effort = _effort(chat.form.get("reasoning_effort"))
    if chat.thinking.shown is None:
        return effort
    return (effort or Reasoning("medium")) if chat.thinking.shown else None


def _effort(effort: Any) -> Reasoning | None:
    """The effort in canonical words; None where none is asked for."""
    if effort is None:
        return None
    if effort in ("none", "off", "disabled"):
        return Reasoning("off")
    if effort in _EFFORTS:
        return Reasoning(effort)
    raise refuse(
        "invalid_request", f"reasoning effort: one of none, {', '.join(sorted(_EFFORTS))}, not {brief(effort)}."
    )


def _config(**values: Any) -> Config:
    """The parameters; None means that nothing was said.

    Raises:
        Refused: A value is out of its range.
    """
    stop = values.pop("stop", None)
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in given.items():
        if isinstance(value, int) and not is_number(int(value)):
            raise refuse("invalid_request", f"{name}: a number within 1.8e308 of 0 is wanted, {brief(value)} came.")
    if stop:
        if not isinstance(stop, str | list):
            raise refuse("invalid_request", f"stop: a text or a list of texts is wanted, {json_kind(stop)} came.")
        given["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    config: Config = _checked(lambda: Config(**given))
    return config


def _checked(make: Any) -> Any:
    """The value, or a refusal in place of the error that its construction raised."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise refuse("invalid_request", str(error)) from None
