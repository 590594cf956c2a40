"""What a mock without an answer of its own adds to a call that no adapter makes: reasoning, and each tool once."""

from dataclasses import replace
from typing import Any

from dspy.lm15 import FunctionTool, Request, ToolCallPart

from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.completing import MakerFor
from dspex_testkit.mock_lm.mock_call import MockCall


def direct_answer(call: MockCall, answer: Answer, maker_for: MakerFor) -> Answer:
    """The answer with what the request asks for and the answer leaves open."""
    config = call.request.config
    if not answer.is_open or answer.completion is not None:
        return answer
    if answer.reasoning is None and config.reasoning is not None and not config.reasoning.is_off:
        answer = replace(answer, reasoning=maker_for(call).value(str, "reasoning"))
    if answer.tool_calls is None:
        tool = next_tool(call.request)
        if tool is not None:
            args = maker_for(call).schema(tool.parameters, tool.name)
            answer = replace(answer, tool_calls=[{"name": tool.name, "args": args}])
    return answer


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
