"""The chat form that OpenAI began with, and that Cohere and Ollama write too: messages by role, functions as tools."""

from collections.abc import Mapping
from typing import Any

from dspy.lm15 import FunctionTool

from dspex_testkit.limits import brief
from dspex_testkit.wires.conversation import Conversation, function_tool, object_of, objects, text_of, tool_call
from dspex_testkit.wires.failures import refuse
from dspex_testkit.wires.media import media_mark


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
