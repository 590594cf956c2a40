"""What pytest shows where values of ours are compared by a plain ``assert``."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from dspex_testkit.calls import LMCall
from dspex_testkit.plugin.answers import Answer
from dspex_testkit.plugin.journal import LMJournal
from dspex_testkit.plugin.timeline import around


def explain(op: str, left: Any, right: Any) -> list[str] | None:
    """Lines that say how two values differ; None where others may say it."""
    if op != "==":
        return None
    if isinstance(left, LMCall) and isinstance(right, LMCall):
        return _calls(left, right)
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Answer) and isinstance(other, Mapping):
            return _answer(one, other)
        if _is_calls(one) and isinstance(other, list | tuple | LMJournal):
            return _sequences(list(left), list(right))
    return None


def _calls(left: LMCall, right: LMCall) -> list[str]:
    differing = [f.name for f in fields(LMCall) if getattr(left, f.name) != getattr(right, f.name)]
    lines = [f"LM call by {left.provider_model} == LM call by {right.provider_model}"]
    return lines + [f"  {name}: {getattr(left, name)!r} != {getattr(right, name)!r}" for name in differing]


def _answer(answer: Answer, wanted: Mapping[str, Any]) -> list[str]:
    names = [*answer.outputs, *(name for name in wanted if name not in answer.outputs)]
    lines = [f"{answer!r} == {dict(wanted)!r}"]
    for name in names:
        if name not in answer.outputs:
            lines.append(f"  {name}: missing, expected {wanted[name]!r}")
        elif name not in wanted:
            lines.append(f"  {name}: {answer.outputs[name]!r}, not expected")
        elif answer.outputs[name] != wanted[name]:
            lines.append(f"  {name}: {answer.outputs[name]!r}, expected {wanted[name]!r}")
    return lines


def _sequences(left: list[Any], right: list[Any]) -> list[str]:
    lines = [f"{len(left)} LM calls == {len(right)}"]
    position = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    calls = left if _is_calls(left) else right
    return [*lines, f"  first difference at call {position + 1}", *around(calls, position).splitlines()]


def _is_calls(value: Any) -> bool:
    if isinstance(value, LMJournal):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, LMCall) for item in value)
