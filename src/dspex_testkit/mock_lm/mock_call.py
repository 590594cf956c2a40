"""`MockCall`: what is being asked, as a value that rules, functions and engines can look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dspy.lm15 import Request

from dspex_testkit.dspy_internals.call_stack import Capture, code_agent_is_calling
from dspex_testkit.engines.responses import given_inputs, last_text
from dspex_testkit.engines.signature_shape import Shape, shape_of
from dspex_testkit.mock_lm.turns import history_of, repl_variables, tool_results_of, turn_of


@dataclass(frozen=True)
class MockCall:
    """One request to a mock LM, seen from the program's side.

    Without an adapter (`lm("hello")`) there is no signature, and the only input is the last message's `prompt`.
    """

    provider: str
    model: str
    request: Request
    """What a provider would be sent."""
    capture: Capture | None = None
    program_id: str | None = None
    session_id: str | None = None
    number: int | None = None
    """The number of the call to this mock, from 1; only counted where something asks for it."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of this call over those of the LM."""

    @property
    def rollout_id(self) -> Any:
        """DSPy's mark of otherwise equal calls that are to differ."""
        return self.params.get("rollout_id")

    @property
    def signature(self) -> Any:
        """The signature as the adapter asks it (without fields that travel natively), or None."""
        return None if self.capture is None else self.capture.signature

    @property
    def full_signature(self) -> Any:
        """The signature as the module declared it, or None."""
        return None if self.capture is None else self.capture.full_signature

    @property
    def shape(self) -> Shape:
        """What the full signature asks for; only for a call with a signature."""
        return shape_of(self.full_signature)

    @cached_property
    def step_fields(self) -> frozenset[str]:
        """Outputs that are the next step of an agent."""
        if self.capture is None:
            return frozenset()
        if self.shape.may_be_code_step and code_agent_is_calling():
            return frozenset({"generated_code", "finished"}) & self.shape.outputs.keys()
        return self.shape.step_fields

    @property
    def is_agent_step(self) -> bool:
        """Whether an agent asks for its next step."""
        return bool(self.step_fields)

    @property
    def signature_name(self) -> str | None:
        """The name of the signature."""
        return None if self.capture is None else str(self.capture.full_signature.__name__)

    @property
    def output_names(self) -> frozenset[str] | None:
        """The names of the signature's outputs."""
        return None if self.capture is None else frozenset(self.shape.outputs)

    @property
    def adapter(self) -> Any:
        """The adapter that asks and will parse the answer, or None."""
        return None if self.capture is None else self.capture.adapter

    @property
    def demos(self) -> Sequence[Any]:
        """The few-shot examples in the prompt."""
        return () if self.capture is None else self.capture.demos

    @cached_property
    def inputs(self) -> Mapping[str, Any]:
        """Values per input field, in the signature's order."""
        return given_inputs(self.capture, self.request)

    @cached_property
    def visible_inputs(self) -> Mapping[str, Any]:
        """The inputs a rule may look at.

        Also those that an agent's later turns leave to its history, those that RLM keeps in variables, and those of
        the call that TwoStep's extraction belongs to.
        """
        found = dict(self.inputs)
        if self.is_agent_step:
            history = history_of(found)
            absent = [name for name in self.shape.inputs if found.get(name) is None]
            for message in history.messages if history is not None else ():
                found |= {name: message[name] for name in absent if name in message}
            found = {**repl_variables(found), **found}
        if self.capture is not None and self.capture.outer is not None:
            found = {**self.capture.outer.inputs, **found}
        return found

    @property
    def provider_model(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"

    @property
    def adapter_name(self) -> str | None:
        """The class of the adapter; for TwoStep's second call that of the adapter it belongs to."""
        if self.capture is None:
            return None
        return type((self.capture.outer or self.capture).adapter).__name__

    @cached_property
    def turn(self) -> int:
        """The turn of an agent or conversation, from 1."""
        return turn_of(self.inputs)

    @cached_property
    def tool_results(self) -> str | None:
        """The text of what tools returned so far."""
        return tool_results_of(self.inputs, self.request)

    @property
    def has_tool_results(self) -> bool:
        """Whether a tool has returned something."""
        return self.tool_results is not None

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """The messages of a `dspy.History` among the inputs."""
        found = history_of(self.inputs)
        return () if found is None else tuple(found.messages)

    @property
    def prompt(self) -> str:
        """The text of the last message that is one: a tool's results are no question."""
        return last_text(self.request)

    @property
    def tools(self) -> tuple[Any, ...]:
        """The tools that were sent natively."""
        return tuple(self.request.tools)

    @cached_property
    def messages(self) -> list[dict[str, str]]:
        """The rendered messages as role and text."""
        found = [{"role": str(message.role), "content": message.text or ""} for message in self.request.messages]
        system = self.request.system
        if system is None:
            return found
        text = system if isinstance(system, str) else "".join(getattr(part, "text", "") for part in system)
        return [{"role": "system", "content": text}, *found]

    def describe(self) -> str:
        """`Name(field='value', …)`, clipped, for messages to a person."""
        values = ", ".join(f"{name}={_short(value)}" for name, value in self.inputs.items())
        return f"{self.signature_name or 'a call without a signature'}({values})"


def _short(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
