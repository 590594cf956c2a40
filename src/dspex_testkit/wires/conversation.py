"""Building DSPy's canonical request from whatever a provider calls messages, tools and parameters.

A wire reads its own spelling and calls these; what cannot be understood is refused with the place and what was wanted.
"""

import json
from collections.abc import Iterator, Mapping
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

from dspex_testkit.limits import TOP_LOGPROBS, brief, is_number, json_kind
from dspex_testkit.wires.failures import refuse
from dspex_testkit.wires.media import media_mark

_TEXT_BLOCKS = frozenset({"text", "input_text", "output_text"})
_EFFORTS = frozenset({"minimal", "low", "medium", "high", "xhigh", "max"})


class Conversation:
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
        return checked(
            lambda: Request(
                model, tuple(self._messages), system="\n".join(self._system) or None, tools=tools, config=config
            )
        )


def checked(make: Any) -> Any:
    """The value, or a refusal in place of the error that its construction raised."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise refuse("invalid_request", str(error)) from None


def objects(body: Mapping[str, Any], key: str, *, required: bool = False) -> list[Mapping[str, Any]]:
    """A list of objects.

    Raises:
        Refused: It is something else, or missing where it is required.
    """
    value = body.get(key)
    if value is None and not required:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        came = "nothing" if value is None else json_kind(value)
        raise refuse("invalid_request", f"{key}: a list of objects is wanted, {came} came.")
    return value


def object_of(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object; an empty one where nothing was said.

    Raises:
        Refused: It is something else.
    """
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refuse("invalid_request", f"{key}: an object is wanted, {json_kind(value)} came.")
    return value


def text_of(content: Any, where: str) -> str:
    """The text of a message's content: a string, or blocks of which the texts count.

    Raises:
        Refused: It is neither.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_block_texts(content, where))
    raise refuse("invalid_request", f"{where}: a text or a list of blocks is wanted, {json_kind(content)} came.")


def _block_texts(blocks: list[Any], where: str) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, str):
            yield block
        elif not isinstance(block, Mapping):
            raise refuse("invalid_request", f"{where}: a block is an object, {json_kind(block)} came.")
        elif block.get("type", "text") in _TEXT_BLOCKS:
            yield str(block.get("text") or "")
        else:
            # A mock sees no pictures; that one was there may matter to a rule, and which one to a recording.
            yield media_mark(str(block["type"]), block)


def function_tool(name: Any, description: Any, parameters: Any) -> FunctionTool:
    """A tool, its parameters as JSON Schema."""
    schema = parameters if isinstance(parameters, dict) else {"type": "object", "properties": {}}
    tool: FunctionTool = checked(lambda: FunctionTool(name, description or None, schema))
    return tool


def tool_call(call_id: Any, name: Any, arguments: Any) -> ToolCallPart:
    """A call that the model made before; arguments as text or as data."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:
            arguments = {}
    given = arguments if isinstance(arguments, dict) else {}
    part: ToolCallPart = checked(lambda: ToolCallPart(str(call_id or f"call_{name}"), str(name), given))
    return part


def choice_of(mode: str, name: Any = None) -> ToolChoice:
    """Which tools may or must be called: `auto`, `required`, `none`, or one by name."""
    if name:
        return ToolChoice("required", (str(name),))
    return ToolChoice(mode if mode in ("auto", "required", "none") else "auto")


def reasoning_of(effort: Any) -> Reasoning | None:
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


def schema_format(schema: Any, name: Any = None, strict: Any = None) -> dict[str, Any]:
    """A response format that is a JSON Schema."""
    if not isinstance(schema, Mapping):
        raise refuse("invalid_request", f"The response schema is an object, not {json_kind(schema)}.")
    named = {"name": name} if isinstance(name, str) and name else {}
    enforced = {"strict": strict} if isinstance(strict, bool) else {}
    return {"type": "json_schema", "schema": dict(schema), **named, **enforced}


def config_of(**values: Any) -> Config:
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
    config: Config = checked(lambda: Config(**given))
    return config


def whole_number(body: Mapping[str, Any], key: str, default: int, *, most: int) -> int:
    """An integer from 1.

    Raises:
        Refused: It is not.
    """
    value = body.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise refuse("invalid_request", f"{key}: an integer from 1 to {most} is wanted, {brief(value)} came.")
    return value


def how_many(body: Mapping[str, Any], key: str, *, most: int = TOP_LOGPROBS) -> int:
    """An integer from 0, and 0 where nothing was said.

    Raises:
        Refused: It is not.
    """
    value = body.get(key) or 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise refuse("invalid_request", f"{key}: an integer from 0 to {most} is wanted, {brief(value)} came.")
    return value


def model_of(body: Mapping[str, Any]) -> str:
    """The model that is asked.

    Raises:
        Refused: None is named.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise refuse("invalid_request", "model: the name of a model is wanted.")
    return model
