"""Reading an answer in any of its forms: in a table, a script, a rule, or as a function's result.

A plain value is for the one output that the caller is after; an object gives values per output field. Keys that begin
with `$` say anything else, alone or beside fields:

    {"$completion": "raw text"}                   sent as it is, whether it parses or not
    {"$template": "Hello {name}"}                 filled from the inputs; may be an object of templates per field
    {"$cycle": ["a", "b"]}                        one after the other, again and again
    {"$list": ["a", "b"], "$on_exhausted": "last"}
    {"$tool_calls": [{"name": "search", "args": {"query": "x"}}]}
    {"$follow_demos": true}                       the demo with the same inputs
    {"$fault": "rate_limit"}                      or an object, see `faults`
    {"$value": …}                                 a plain value beside other `$` keys
    {"answer": "x", "$reasoning": "…", "$usage": {"output_tokens": 9}, "$cost": "0.01", "$latency_ms": 20,
     "$finish_reason": "length"}
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.limits import LARGEST_BUDGET_USD, LARGEST_COUNT, brief
from dspex_testkit.mock_lm.answers import NOTHING, Answer
from dspex_testkit.mock_lm.durations import read_duration
from dspex_testkit.mock_lm.fault_spec import read_fault
from dspex_testkit.mock_lm.forms import AnswerForm, Fixed, FollowDemos, Sequenced, Template
from dspex_testkit.nearest import nearest_hint

_BODIES = ("$value", "$completion", "$template", "$cycle", "$list", "$follow_demos")
_EXTRAS = (
    "$tool_calls",
    "$reasoning",
    "$fault",
    "$usage",
    "$cost",
    "$latency_ms",
    "$finish_reason",
    "$on_exhausted",
)
_USAGE_KEYS = ("input_tokens", "output_tokens", "reasoning_tokens", "cached_tokens")
_ON_EXHAUSTED = ("error", "cycle", "last")


def read_form(given: Any, label: str) -> AnswerForm:
    """Read an answer in any form.

    Args:
        given: What was written.
        label: What it is called in the journal and in messages.

    Raises:
        InvalidMockSpecError: A `$` key is unknown, has a wrong value, or contradicts another.
    """
    if isinstance(given, Answer):
        return Fixed(replace(given, rule=given.rule or label))
    if not isinstance(given, Mapping):
        return Fixed(Answer(rule=label, value=given))
    marked = {key: value for key, value in given.items() if isinstance(key, str) and key.startswith("$")}
    if not marked:
        return Fixed(Answer(rule=label, fields=given))
    for key in marked:
        if key not in _BODIES + _EXTRAS:
            raise InvalidMockSpecError(
                f"{label}: unknown key {brief(key)}{nearest_hint(key, _BODIES + _EXTRAS)}; "
                f"known are {', '.join(_BODIES + _EXTRAS)}."
            )
    fields = {key: value for key, value in given.items() if key not in marked}
    bodies = [key for key in _BODIES if key in marked] + (["fields"] if fields else [])
    if len(bodies) > 1:
        raise InvalidMockSpecError(f"{label}: {' and '.join(bodies)} contradict each other; write one of them.")
    return _with_body(marked, fields, _extras(marked, label), label)


def _with_body(marked: Mapping[str, Any], fields: Mapping[str, Any], base: Answer, label: str) -> AnswerForm:
    if "$on_exhausted" in marked and "$list" not in marked:
        raise InvalidMockSpecError(f"{label}: $on_exhausted says how a $list goes on, and there is none.")
    if "$cycle" in marked or "$list" in marked:
        key = "$cycle" if "$cycle" in marked else "$list"
        given = marked[key]
        if not isinstance(given, list | tuple) or not given:
            raise InvalidMockSpecError(f"{label}: {key} must be a list with at least one answer, not {brief(given)}.")
        forms = [read_form(item, f"{label}[{i}]") for i, item in enumerate(given)]
        on_exhausted = "cycle" if key == "$cycle" else marked.get("$on_exhausted", "error")
        if on_exhausted not in _ON_EXHAUSTED:
            raise InvalidMockSpecError(
                f"{label}: $on_exhausted must be one of {_ON_EXHAUSTED}, not {brief(on_exhausted)}."
            )
        return Sequenced(label, forms, on_exhausted, base)
    if "$template" in marked:
        text = marked["$template"]
        if not isinstance(text, str) and not (
            isinstance(text, Mapping) and all(isinstance(part, str) for part in text.values())
        ):
            raise InvalidMockSpecError(
                f"{label}: $template must be a text, or texts per output field, not {brief(text)}."
            )
        return Template(label, text, base)
    if "$follow_demos" in marked:
        return FollowDemos(label, base)
    if "$completion" in marked:
        if not isinstance(marked["$completion"], str):
            raise InvalidMockSpecError(f"{label}: $completion must be a text, not {brief(marked['$completion'])}.")
        return Fixed(replace(base, completion=marked["$completion"]))
    return Fixed(replace(base, value=marked.get("$value", NOTHING), fields=fields or None))


def _extras(marked: Mapping[str, Any], label: str) -> Answer:
    reasoning, finish, latency = (marked.get(key) for key in ("$reasoning", "$finish_reason", "$latency_ms"))
    for key, text in (("$reasoning", reasoning), ("$finish_reason", finish)):
        if text is not None and not isinstance(text, str):
            raise InvalidMockSpecError(f"{label}: {key} must be a text, not {brief(text)}.")
    return Answer(
        rule=label,
        tool_calls=_tool_calls(marked["$tool_calls"], label) if "$tool_calls" in marked else None,
        reasoning=reasoning,
        fault=read_fault(marked["$fault"], label) if "$fault" in marked else None,
        usage=_usage(marked["$usage"], label) if "$usage" in marked else None,
        cost=_cost(marked["$cost"], label) if "$cost" in marked else None,
        latency_ms=None if latency is None else read_duration(latency, f"{label}: $latency_ms"),
        finish_reason=finish,
    )


def _tool_calls(given: Any, label: str) -> tuple[Mapping[str, Any], ...]:
    calls = [given] if isinstance(given, Mapping) else given
    for call in calls if isinstance(calls, list | tuple) else [None]:
        if (
            not isinstance(call, Mapping)
            or not isinstance(call.get("name"), str)
            or not isinstance(call.get("args", {}), Mapping)
            or call.keys() - {"name", "args", "id"}
        ):
            raise InvalidMockSpecError(
                f"{label}: $tool_calls must be objects such as {{'name': 'search', 'args': {{'query': 'x'}}}}, "
                f"not {brief(call or given)}."
            )
    return tuple(calls)


def _usage(given: Any, label: str) -> dict[str, int]:
    if not isinstance(given, Mapping) or any(
        isinstance(n, bool) or not isinstance(n, int) or not 0 <= n <= LARGEST_COUNT for n in given.values()
    ):
        raise InvalidMockSpecError(
            f"{label}: $usage must be counts such as {{'output_tokens': 9}}, not {brief(given)}."
        )
    for key in given:
        if key not in _USAGE_KEYS:
            raise InvalidMockSpecError(
                f"{label}: unknown key {brief(key)} in $usage{nearest_hint(str(key), _USAGE_KEYS)}; "
                f"known are {', '.join(_USAGE_KEYS)}."
            )
    return dict(given)


def _cost(given: Any, label: str) -> Decimal:
    try:
        cost = Decimal(str(given))
    except (InvalidOperation, ValueError):
        cost = Decimal("NaN")
    if not cost.is_finite() or not 0 <= cost <= LARGEST_BUDGET_USD:
        raise InvalidMockSpecError(f"{label}: $cost must be US dollars such as '0.01', not {brief(given)}.")
    return cost
