"""What a mock without an answer of its own does as an agent: use each tool once, then come to an end.

A program such as `dspy.ReAct` asks the LM for steps (a tool, its arguments, code to run) that no table of answers is
about. Those steps are made here, so that every agent runs and ends.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args

import dspy
from dspy.lm15 import FunctionTool
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]
from jsonschema.validators import extend  # type: ignore[import-untyped]
from referencing import Registry

from dspex_testkit.dspy_internals.call_stack import calling_program
from dspex_testkit.engines.values import to_json
from dspex_testkit.errors import AnswerError
from dspex_testkit.limits import brief
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.turns import history_of, steps_taken
from dspex_testkit.mock_lm.typed_values import ValueMaker
from dspex_testkit.mock_lm.values import to_input
from dspex_testkit.nearest import nearest_hint
from dspex_testkit.patterns import bounded

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


def check_tools(values: Mapping[str, Any], call: MockCall, *, rule: str) -> None:
    """Check tools that an answer names as other outputs are checked: their names and their arguments.

    Raises:
        AnswerError: No such tool is offered, it has no such argument, or a value does not fit.
    """
    shape = call.shape
    chosen: list[tuple[str, Any]] = []
    if shape.tool_calls is not None and isinstance(calls := values.get(shape.tool_calls), dspy.ToolCalls):
        chosen += [(each.name, each.args) for each in calls.tool_calls]
    if "next_tool_name" in values and "next_tool_args" in values and "next_tool_name" in call.step_fields:
        chosen.append((values["next_tool_name"], values["next_tool_args"]))
    if not chosen:
        return
    offered = {
        **{tool.name: tool_schema(tool) for tool in call.request.tools if isinstance(tool, FunctionTool)},
        **{name: tool_schema(tool) for name, tool in _known_tools(call).items()},
    }
    for name, args in chosen:
        check_tool(name, args, offered, rule=rule)


def check_tool(name: str, args: Any, offered: Mapping[str, Mapping[str, Any]], *, rule: str) -> None:
    """Check one call of a tool against the schemas of those that are offered; where none is, nobody can say.

    Raises:
        AnswerError: It does not fit.
    """
    if not offered:
        return
    schema = offered.get(name)
    if schema is None:
        raise AnswerError(
            f"{rule} calls the tool {name!r}, which is not offered{nearest_hint(name, offered)}; "
            f"offered are {', '.join(map(repr, offered))}.",
            details={"rule": rule, "tool": name, "tools": list(offered)},
        )
    known = schema.get("properties") or {}
    if not isinstance(known, Mapping):
        raise _no_schema(name, schema, rule=rule)
    for arg in args:
        if arg not in known and not schema.get("additionalProperties"):
            raise AnswerError(
                f"{rule} gives the tool {name!r} the argument {arg!r}, which it does not have"
                f"{nearest_hint(str(arg), known)}; its arguments are {', '.join(map(repr, known)) or 'none'}.",
                details={"rule": rule, "tool": name, "argument": arg, "arguments": list(known)},
            )
    try:
        problem = next(_validator()(schema, registry=Registry()).iter_errors(to_input(args)), None)
        if problem is not None:
            Draft202012Validator.check_schema(schema)
    except Exception as error:
        # A client's schema may be none, and fails then wherever it is looked at.
        raise _no_schema(name, schema, rule=rule) from error
    if problem is None:
        return
    place = ".".join(map(str, problem.absolute_path))
    raise AnswerError(
        f"{rule} calls the tool {name!r} with arguments that it does not take{f' ({place})' if place else ''}: "
        f"{problem.message.replace(repr(problem.instance), brief(problem.instance))}.",
        details={"rule": rule, "tool": name, "argument": place or None},
    )


@cache
def _validator() -> Any:
    """What checks a client's schema: it fetches nothing that the schema refers to, and its patterns are bounded."""

    def pattern(validator: Any, wanted: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not bounded(wanted).search(instance):
            yield ValidationError(f"{instance!r} does not match {wanted!r}")

    def pattern_properties(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        for text, inner in wanted.items() if isinstance(instance, Mapping) else ():
            for name in filter(bounded(text).search, instance):
                yield from validator.descend(instance[name], inner, path=name, schema_path=text)

    def additional(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        known, patterns = schema.get("properties", {}), [bounded(text) for text in schema.get("patternProperties", {})]
        for name in instance if isinstance(instance, Mapping) else ():
            if name in known or any(each.search(name) for each in patterns):
                continue
            if wanted is False:
                yield ValidationError(f"it has no property {name!r}")
            else:
                yield from validator.descend(instance[name], wanted, path=name)

    checks = {"pattern": pattern, "patternProperties": pattern_properties, "additionalProperties": additional}
    return extend(Draft202012Validator, checks)


def _no_schema(name: str, schema: Mapping[str, Any], *, rule: str) -> AnswerError:
    return AnswerError(
        f"{rule} calls the tool {name!r}, whose parameters are no JSON Schema: {brief(schema)}.",
        details={"rule": rule, "tool": name},
    )


def tool_schema(tool: Any) -> Mapping[str, Any]:
    """The schema of a tool's arguments, as DSPy or a provider's client describes it."""
    if not isinstance(tool, dspy.Tool):
        return tool.parameters or {}
    args = tool.args or {}
    return {
        "type": "object",
        "properties": args,
        "required": [name for name, schema in args.items() if "default" not in schema and not _is_variadic(tool, name)],
        "additionalProperties": tool.has_kwargs,
    }


def _is_variadic(tool: Any, name: str) -> bool:
    """Whether an argument that DSPy lists stands for any number of them."""
    try:
        parameter = inspect.signature(tool.func).parameters.get(name)
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)


def _known_tools(call: MockCall) -> Mapping[str, Any]:
    """The tools that the call offers among its inputs, or that the calling agent has."""
    offered = _offered_tools(call.inputs)
    return offered or (_tools_of_agent() if "next_tool_name" in call.step_fields else {})


def _tools_of_agent() -> Mapping[str, Any]:
    return getattr(calling_program("tools"), "tools", None) or {}


def _react_step(call: MockCall, maker: ValueMaker) -> tuple[str, dict[str, Any]]:
    names = get_args(call.shape.outputs["next_tool_name"].annotation)
    taken = steps_taken(call.inputs)
    *tools, finish = names
    if taken >= len(tools):
        return finish, {}
    tool = _tools_of_agent().get(tools[taken])
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
