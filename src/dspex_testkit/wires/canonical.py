"""The chat form as DSPy's canonical request, read as by a server: what it does not know it drops.

Pictures, sound and files become marks. Cohere and Ollama write messages and tools in this form, too.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dspy.lm15 import FunctionTool, Reasoning, Request, ToolChoice

from dspex_testkit.limits import brief
from dspex_testkit.wires.chat_form import Chat
from dspex_testkit.wires.conversation import (
    Conversation,
    checked,
    choice_of,
    config_of,
    function_tool,
    object_of,
    objects,
    reasoning_of,
    schema_format,
    text_of,
    tool_call,
)
from dspex_testkit.wires.failures import refuse
from dspex_testkit.wires.media import media_mark


def request_of(chat: Chat, model: str, *, wanted: str) -> Request:
    """What is asked.

    Args:
        chat: What the body says.
        model: Who is asked.
        wanted: What the provider calls its messages.

    Raises:
        Refused: It cannot be understood.
    """
    form = chat.form
    config = config_of(
        max_tokens=form.get("max_completion_tokens") or form.get("max_tokens"),
        temperature=form.get("temperature"),
        top_p=form.get("top_p"),
        top_k=form.get("top_k"),
        seed=form.get("seed"),
        frequency_penalty=form.get("frequency_penalty"),
        presence_penalty=form.get("presence_penalty"),
        stop=form.get("stop"),
        response_format=_response_format(form.get("response_format")),
        tool_choice=_tool_choice(form),
        reasoning=_reasoning(chat),
    )
    return read_messages(form).request(model, read_functions(form), config, wanted=wanted)


def read_messages(body: Mapping[str, Any]) -> Conversation:
    """The conversation of a body.

    Raises:
        Refused: A message cannot be understood.
    """
    conversation = Conversation()
    for index, message in enumerate(objects(body, "messages", required=True)):
        _read_message(message, conversation, f"messages[{index}]")
    return conversation


def read_functions(body: Mapping[str, Any]) -> tuple[FunctionTool, ...]:
    """The functions among the tools of a body."""
    tools = [tool for tool in objects(body, "tools") if tool.get("type", "function") == "function"]
    functions = [object_of(tool, "function") for tool in tools]
    return tuple(function_tool(f.get("name"), f.get("description"), f.get("parameters")) for f in functions)


def _read_message(message: Mapping[str, Any], conversation: Conversation, where: str) -> None:
    role, text = message.get("role"), text_of(message.get("content"), f"{where}.content")
    if role in ("system", "developer"):
        conversation.system(text)
    elif role == "user":
        conversation.user("\n".join(filter(None, (text, *_images(message)))))
    elif role == "assistant":
        functions = [(call.get("id"), object_of(call, "function")) for call in objects(message, "tool_calls")]
        conversation.assistant(text, [tool_call(i, f.get("name"), f.get("arguments")) for i, f in functions])
    elif role == "tool":
        # Ollama has no ids for calls; there they are told apart by the tool's name.
        name = message.get("tool_name") or message.get("name")
        conversation.tool_result(str(message.get("tool_call_id") or f"call_{name}"), text)
    else:
        raise refuse("invalid_request", f"{where}.role: system, user, assistant or tool is wanted, {brief(role)} came.")


def _images(message: Mapping[str, Any]) -> list[str]:
    """What Ollama keeps beside the text."""
    images = message.get("images")
    return [media_mark("image", {"data": image}) for image in images] if isinstance(images, list) else []


def _tool_choice(form: Mapping[str, Any]) -> ToolChoice | None:
    given, parallel = form.get("tool_choice"), form.get("parallel_tool_calls")
    parallel = parallel if isinstance(parallel, bool) else None
    if given is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if not isinstance(given, Mapping):
        return replace(choice_of(str(given)), parallel=parallel)
    several = object_of(given, "allowed_tools")
    if not several:
        return replace(choice_of("required", object_of(given, "function").get("name")), parallel=parallel)
    names = [str(object_of(tool, "function").get("name")) for tool in objects(several, "tools")]
    choice: ToolChoice = checked(lambda: ToolChoice(several.get("mode") or "auto", tuple(names), parallel))
    return choice


def _response_format(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, Mapping) or given.get("type") in (None, "text"):
        return None
    if given.get("type") == "json_object":
        return {"type": "json_object"}
    described = given.get("json_schema")
    if not isinstance(described, Mapping):
        raise refuse("invalid_request", "response_format.json_schema: an object is wanted.")
    return schema_format(described.get("schema"), described.get("name"), described.get("strict"))


def _reasoning(chat: Chat) -> Reasoning | None:
    """Thoughts that are to be seen: those that are not are nothing that a server could answer with."""
    if chat.thinking.budget == 0:
        return Reasoning("off")
    effort = reasoning_of(chat.form.get("reasoning_effort"))
    if chat.thinking.shown is None:
        return effort
    return (effort or Reasoning("medium")) if chat.thinking.shown else None
