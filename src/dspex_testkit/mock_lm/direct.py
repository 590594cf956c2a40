"""What a mock without an answer of its own adds to a call that no adapter makes: reasoning, and each tool once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dspy.lm15 import FunctionTool, Request, ToolCallPart

from dspex_testkit.limits import json_kind
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.completing import GetMaker
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.typed_values import NoValueError, ValueMaker


def direct_answer(call: MockCall, answer: Answer, get_maker: GetMaker) -> Answer:
    """The answer with what the request asks for and the answer leaves open."""
    config = call.request.config
    if not answer.is_open or answer.completion is not None:
        return answer
    if answer.reasoning is None and config.reasoning is not None and not config.reasoning.is_off:
        answer = replace(answer, reasoning=get_maker().value(str, "reasoning"))
    if answer.tool_calls is None:
        tool = next_tool(call.request)
        if tool is not None:
            answer = replace(answer, tool_calls=[{"name": tool.name, "args": _arguments(tool, get_maker())}])
    return answer


def _arguments(tool: FunctionTool, maker: ValueMaker) -> Mapping[str, Any]:
    # Parameters that say nothing of themselves are those of a function without any.
    args = maker.schema(tool.parameters or {"type": "object"}, tool.name)
    if not isinstance(args, Mapping):
        raise NoValueError(f"{tool.name}: the parameters of a tool are a schema of an object, not of {json_kind(args)}")
    return args


def next_tool(request: Request) -> FunctionTool | None:
    """The tool whose turn it is: the one that is asked for, or the first that has not been used; None to answer."""
    choice: Any = request.config.tool_choice
    offered = [tool for tool in request.tools if isinstance(tool, FunctionTool)]
    if not offered or (choice is not None and choice.mode == "none"):
        return None
    used = {part.name for message in request.messages for part in message.parts if isinstance(part, ToolCallPart)}
    allowed = [tool for tool in offered if choice is None or not choice.allowed or tool.name in choice.allowed]
    unused = [tool for tool in allowed if tool.name not in used]
    if unused:
        return unused[0]
    return allowed[0] if choice is not None and choice.mode == "required" else None
