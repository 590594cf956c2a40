"""Where an agent or conversation has got to: its turn, and what its tools returned."""

import re
from collections.abc import Mapping
from typing import Any

import dspy
from dspy.lm15 import Request, ToolResultPart

_VARIABLE = re.compile(r"^Variable: `(\w+)`.*?^Preview:\n```\n(.*?)\n```", re.DOTALL | re.MULTILINE)
_STEP = re.compile(r"\btool_name_(\d+)\b")


def steps_taken(inputs: Mapping[str, Any]) -> int:
    """Steps in the trajectory of a `dspy.ReAct`."""
    # Counted by the largest number, for an overlong trajectory loses its first steps.
    return max((int(number) for number in _STEP.findall(str(inputs.get("trajectory", "")))), default=-1) + 1


def history_of(inputs: Mapping[str, Any]) -> Any:
    """The conversation among the inputs, if there is one."""
    return next((value for value in inputs.values() if isinstance(value, dspy.History)), None)


def repl_variables(inputs: Mapping[str, Any]) -> dict[str, str]:
    """The inputs of a `dspy.RLM`, as far as it shows them to its LM."""
    shown = inputs.get("variables_info")
    text = "\n".join(map(str, shown)) if isinstance(shown, list) else str(shown or "")
    return dict(_VARIABLE.findall(text))


def turn_of(inputs: Mapping[str, Any]) -> int:
    """The turn being answered, from 1."""
    history = history_of(inputs)
    if history is not None:
        return len(history.messages) + 1
    repl = inputs.get("repl_history")
    return steps_taken(inputs) + (0 if repl is None else len(getattr(repl, "entries", ()))) + 1


def tool_results_of(inputs: Mapping[str, Any], request: Request) -> str | None:
    """The text of what tools returned so far, or None."""
    found = []
    if steps_taken(inputs):
        found.append(str(inputs["trajectory"]))
    history = history_of(inputs)
    for message in history.messages if history is not None else ():
        for value in message.values():
            results = getattr(value, "tool_call_results", None)
            found += [str(result.value) for result in getattr(results, "tool_call_results", ())]
    for part in (part for message in request.messages for part in message.parts):
        if isinstance(part, ToolResultPart):
            found += [getattr(item, "text", "") for item in part.content]
    return "\n".join(found) if found else None
