"""One rule of a deterministic mock: when it applies, and what it answers."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dspex_testkit.mock_lm.conditions import Condition, read_condition
from dspex_testkit.mock_lm.forms import AnswerForm
from dspex_testkit.mock_lm.reading_forms import read_form

Key = tuple[str, ...]
"""What a condition is about: `("signature",)`, `("inputs", "question")`, …"""

_ADAPTERS = {
    "chat": "ChatAdapter",
    "json": "JSONAdapter",
    "xml": "XMLAdapter",
    "baml": "BAMLAdapter",
    "two_step": "TwoStepAdapter",
}


class When(BaseModel):
    """When a rule applies. Every condition given must hold; how one is written is told in `conditions`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    signature: Any = Field(default=None, description="The name of the signature.")
    program: Any = Field(default=None, description="The id of the program, as a bridge knows it.")
    session: Any = Field(default=None, description="The id of the session.")
    provider: Any = Field(default=None, description="The provider that is impersonated.")
    model: Any = Field(default=None, description="The model that is impersonated, with or without its provider.")
    adapter: Any = Field(default=None, description="chat, json, xml, baml, two_step, or a class name.")
    inputs: dict[str, Any] | None = Field(default=None, description="Conditions per input field.")
    outputs: tuple[str, ...] | None = Field(default=None, description="Output fields that the signature must have.")
    prompt: Any = Field(default=None, description="The text of the last message.")
    turn: int | None = Field(default=None, ge=1, description="The turn of an agent or conversation, from 1.")
    call: int | None = Field(default=None, ge=1, description="The number of the call to this mock, from 1.")
    tool_results: Any = Field(default=None, description="Whether there are tool results, or what they contain.")
    where: Any = Field(default=None, description="A Python callable on the whole call.")

    def conditions(self, label: str, *, sent: bool = False) -> dict[Key, Condition]:
        """The conditions by what they are about; a client's if they were sent."""
        found: dict[Key, Condition] = {}
        for name in _PLAIN_KEYS:
            given = getattr(self, name)
            if given is not None:
                found[_key(name, given)] = read_condition(_spelled(name, given), f"{label}.when.{name}", sent=sent)
        for field, given in (self.inputs or {}).items():
            found["inputs", field] = read_condition(given, f"{label}.when.inputs.{field}", sent=sent)
        if self.outputs is not None:
            wanted = frozenset(self.outputs)
            found["outputs",] = Condition("include", sorted(wanted), wanted.issubset)
        if isinstance(self.tool_results, bool):
            found["has_tool_results",] = read_condition(self.tool_results, label)
        elif self.tool_results is not None:
            found["tool_results",] = read_condition(self.tool_results, f"{label}.when.tool_results", sent=sent)
        if self.where is not None:
            found["where",] = read_condition({"predicate": self.where}, f"{label}.when.where")
        return found


_PLAIN_KEYS = ("signature", "program", "session", "provider", "model", "adapter", "prompt", "turn", "call")


class RuleSpec(BaseModel):
    """A rule as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    answer: Any = Field(description="The answer, in any form.")
    when: When = Field(default=When(), description="When it applies; left out, always.")
    name: str | None = Field(default=None, description="What the journal calls it.")
    times: int | None = Field(default=None, ge=1, description="How often it may answer.")
    priority: int = Field(default=0, description="Wins over more specific rules of a lower priority.")


class Rule:
    """A rule ready to be tried."""

    __slots__ = ("conditions", "exact", "form", "name", "specificity", "times")

    def __init__(self, spec: RuleSpec, index: int, *, sent: bool = False) -> None:
        self.name = spec.name or f"rules[{index}]"
        self.form: AnswerForm = read_form(spec.answer, self.name)
        self.times = spec.times
        conditions = spec.when.conditions(self.name, sent=sent)
        self.exact = {key: condition for key, condition in conditions.items() if condition.is_exact}
        self.conditions = {key: condition for key, condition in conditions.items() if not condition.is_exact}
        self.specificity = (
            spec.priority,
            ("call",) in conditions,
            len(conditions),
            len(self.exact),
            sum(condition.weight for condition in self.conditions.values()),
        )
        """Priority; whether it is about one call; how many conditions; how many exact; how long their patterns."""

    def holds(self, value_of: Callable[[Key], Any], missing: object) -> bool:
        """Whether the conditions that cannot be looked up hold."""
        for key, condition in self.conditions.items():
            value = value_of(key)
            if value is missing or not condition.test(value):
                return False
        return True


def _key(name: str, given: Any) -> Key:
    # With its provider a model is another property than without.
    return ("provider_model",) if name == "model" and isinstance(given, str) and "/" in given else (name,)


def _spelled(name: str, given: Any) -> Any:
    return _ADAPTERS.get(given, given) if name == "adapter" and isinstance(given, str) else given


def describe(conditions: Mapping[Key, Condition]) -> str:
    """Conditions for a person."""
    if not conditions:
        return "always"
    return ", ".join(f"{'.'.join(key)} {c.operator} {c.operand!r}" for key, c in conditions.items())
