"""What a mock without an answer of its own does as an agent: use each tool once, then come to an end.

A program such as `dspy.ReAct` asks the LM for steps (a tool, its arguments, code to run) that no table of answers is
about. Those steps are made here, so that every agent runs and ends.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import dspy

from dspex_testkit.dspy_internals.call_stack import calling_program
from dspex_testkit.engines.values import to_json
from dspex_testkit.errors import AnswerError
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.turns import history_of, steps_taken
from dspex_testkit.mock_lm.typed_values import ValueMaker

FinalValue = Callable[[str, Any], Any]
"""The program's own output for a name and annotation, as the mock would answer it."""


def agent_step(call: MockCall, maker: ValueMaker, final_value: FinalValue) -> dict[str, Any]:
    """The step's fields: which tool, which code; empty where the signature asks for none."""
    shape = call.shape
    outputs = shape.outputs
    step: dict[str, Any] = {}
    if "next_tool_name" in call.step_fields:
        step["next_tool_name"], step["next_tool_args"] = _react_step(call, maker)
    if "generated_code" in call.step_fields:
        step["generated_code"] = f"SUBMIT({_final_values(call, final_value)!r})"
        if "finished" in outputs:
            # CodeAct reads what is printed; it has no SUBMIT.
            step |= {"generated_code": f"print({_final_values(call, final_value)!r})", "finished": True}
    if "code" in call.step_fields:
        keywords = ", ".join(f"{name}={value!r}" for name, value in _final_values(call, final_value).items())
        step["code"] = f"```python\nSUBMIT({keywords})\n```"
    if shape.tool_calls is not None:
        step[shape.tool_calls] = dspy.ToolCalls.from_dict_list([_tool_call(call, maker, final_value)])
    return step


def chosen_tools(calls: Sequence[Mapping[str, Any]], call: MockCall, *, rule: str) -> dict[str, Any]:
    """The step's fields for tools that the answer names.

    Raises:
        AnswerError: The signature asks for no tool, or for one only.
    """
    shape = call.shape
    if shape.tool_calls is not None:
        made = [
            {"id": tool.get("id", f"call_{i}"), "name": tool["name"], "args": dict(tool.get("args", {}))}
            for i, tool in enumerate(calls)
        ]
        return {shape.tool_calls: dspy.ToolCalls.from_dict_list(made)}
    if "next_tool_name" in shape.outputs and len(calls) == 1:
        return {"next_tool_name": calls[0]["name"], "next_tool_args": dict(calls[0].get("args", {}))}
    raise AnswerError(
        f"{rule} calls {len(calls)} tools, but {call.signature_name} asks for "
        f"{'one at a time' if 'next_tool_name' in shape.outputs else 'none'}; its outputs are "
        f"{', '.join(map(repr, shape.outputs))}. Restrict the rule to calls that offer tools.",
        details={"rule": rule, "outputs": list(shape.outputs)},
    )


def _react_step(call: MockCall, maker: ValueMaker) -> tuple[str, dict[str, Any]]:
    names = get_args(call.shape.outputs["next_tool_name"].annotation)
    taken = steps_taken(call.inputs)
    *tools, finish = names
    if taken >= len(tools):
        return finish, {}
    known: Mapping[str, Any] = getattr(calling_program("tools"), "tools", None) or {}
    tool = known.get(tools[taken])
    return tools[taken], _arguments(tool, maker) if tool is not None else {}


def _tool_call(call: MockCall, maker: ValueMaker, final_value: FinalValue) -> dict[str, Any]:
    tools = _offered_tools(call.inputs)
    if not tools:
        return {"name": "finish", "args": {}}
    forced = getattr(call.request.config.tool_choice, "allowed", None)
    used = {used.name for used in _used_tools(call.inputs)}
    wanted = forced or [name for name in tools if name not in used and name != "submit"] or ["submit"]
    tool = tools.get(wanted[0]) or next(iter(tools.values()))
    if tool.name == "submit":
        args = {name: to_json(final_value(name, kind)) for name, kind in (tool.arg_types or {}).items()}
        return {"id": f"call_{len(used)}", "name": tool.name, "args": args}
    return {"id": f"call_{len(used)}", "name": tool.name, "args": _arguments(tool, maker)}


def _offered_tools(inputs: Mapping[str, Any]) -> dict[str, dspy.Tool]:
    for value in inputs.values():
        offered = value if isinstance(value, list) else [value]
        if offered and all(isinstance(tool, dspy.Tool) for tool in offered):
            return {tool.name: tool for tool in offered}
    return {}


def _used_tools(inputs: Mapping[str, Any]) -> list[Any]:
    history = history_of(inputs)
    found: list[Any] = []
    for message in history.messages if history is not None else ():
        for value in message.values():
            if isinstance(value, dspy.ToolCalls):
                found += value.tool_calls
    return found


def _arguments(tool: dspy.Tool, maker: ValueMaker) -> dict[str, Any]:
    return {
        name: schema["default"] if "default" in schema else maker.schema(schema, f"{tool.name}.{name}")
        for name, schema in (tool.args or {}).items()
    }


def _final_values(call: MockCall, final_value: FinalValue) -> dict[str, Any]:
    """The outputs of the program whose step this is, as the code it runs would submit them."""
    program = calling_program("signature")
    outputs = program.signature.output_fields if program is not None else {}
    return {name: to_json(final_value(name, info.annotation)) for name, info in outputs.items()} or {"answer": None}
