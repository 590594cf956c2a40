"""What a signature asks for, worked out once per signature.

DSPy computes `output_fields` anew on every access; the hot path of a mock asks many times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import dspy

REASONING_NAMES = ("reasoning", "rationale")
"""How DSPy's modules name the reasoning before an answer."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of a signature and what they say about its purpose."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    main_output: str | None
    """The output that a single value is meant for: the first that is not the reasoning before it."""
    reasoning: str | None
    """The output that holds the reasoning before it."""
    tool_calls: str | None
    """The output that holds `dspy.ToolCalls`."""
    step_fields: frozenset[str]
    """Outputs that are a step of an agent (a tool, code to run) and not what a program is after."""
    may_be_code_step: bool
    """Whether it has the field of generated code, which only some modules run."""


_shapes: WeakKeyDictionary[Any, Shape] = WeakKeyDictionary()


def shape_of(signature: Any) -> Shape:
    """The signature's shape."""
    known = _shapes.get(signature)
    if known is None:
        known = _shapes[signature] = _read(signature)
    return known


def _read(signature: Any) -> Shape:
    inputs, outputs = signature.input_fields, signature.output_fields
    tool_calls = next((name for name, info in outputs.items() if info.annotation is dspy.ToolCalls), None)
    return Shape(
        inputs=inputs,
        outputs=outputs,
        main_output=_main_output(outputs),
        reasoning=next((name for name, info in outputs.items() if _is_reasoning(name, info)), None),
        tool_calls=tool_calls,
        step_fields=_step_fields(inputs, outputs, tool_calls),
        may_be_code_step="generated_code" in outputs,
    )


_REACT_FIELDS = frozenset({"next_thought", "next_tool_name", "next_tool_args"})


def _step_fields(inputs: Mapping[str, Any], outputs: Mapping[str, Any], tool_calls: str | None) -> frozenset[str]:
    if outputs.keys() >= _REACT_FIELDS:
        return _REACT_FIELDS
    if "code" in outputs and "repl_history" in inputs:
        return frozenset({"code"})
    return frozenset() if tool_calls is None else frozenset({tool_calls})


def _main_output(outputs: Mapping[str, Any]) -> str | None:
    for name, info in outputs.items():
        if not _is_reasoning(name, info):
            return name
    return next(iter(outputs), None)


def _is_reasoning(name: str, info: Any) -> bool:
    return info.annotation is dspy.Reasoning or name in REASONING_NAMES
