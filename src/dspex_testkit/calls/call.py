"""`LMCall`: one answered (or failed) request to an LM."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dspex_testkit.calls.prompt import Prompt

if TYPE_CHECKING:
    from dspex_testkit.redaction import Redactor


class Scope(StrEnum):
    """Where an LM config was given, narrowest first."""

    EXECUTION = "execution"
    PROGRAM = "program"
    SESSION = "session"
    GLOBAL = "global"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, each kind apart; unknown is None, never 0."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    """Output tokens that were spent on reasoning; part of `output_tokens`."""
    cached_tokens: int | None = None
    """Input tokens that the provider read from its prompt cache; part of `input_tokens`."""
    cache_write_tokens: int | None = None
    """Input tokens that the provider wrote to its prompt cache; part of `input_tokens`."""

    @property
    def total_tokens(self) -> int | None:
        """Input plus output, or None where either is unknown."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class LMCall:
    """One answered (or failed) request to an LM, as a value.

    Values in `inputs` and `outputs` are JSON-safe; long texts are clipped when the call is recorded.
    """

    provider: str
    """The provider whose LM answered, or the one that a mock impersonates."""
    model: str
    """The model without its provider prefix."""
    scope: Scope | None = None
    """The scope that decided; None for an LM used without a bridge."""
    mocked: bool = True
    """False only where a real provider was asked."""
    engine: str = "mock"
    """Which kind of engine answered: deterministic, scripted, random, function, live, ensemble, …"""
    program_id: str | None = None
    session_id: str | None = None
    worker_id: str | None = None
    lm_id: str | None = None
    """The assignment of a config to a scope that this LM stands for; never derived from a key."""
    signature: str | None = None
    """The name of the signature that was answered."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] | None = None
    """Values per output field as the engine chose them; None where the call failed."""
    completion: str | None = None
    """The text as the adapter will read it."""
    parts: tuple[str, ...] = ()
    """What the answer was made of, in order: `text`, `thinking`, `tool_call`, …"""
    prompt: Prompt | None = field(default=None, repr=False)
    """What was asked, part by part; only where the journal keeps it."""
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost: Decimal | None = None
    """US dollars, exact; None where the price is unknown."""
    latency_ms: float = 0.0
    rule: str | None = None
    """What decided the answer: a rule's name, `responses[…]`, `default`, `script[3]`, `derived`."""
    fault: str | None = None
    error: str | None = None
    """The failure's text; None where the call was answered."""
    stream_chunks: int | None = None
    """Chunks of a streamed answer; None where the answer was not streamed."""
    seed: int | str | None = None
    cache_hit: bool = False
    """True where nobody was asked; `usage` is then that of the call that was remembered, and `cost` is 0."""
    call_id: str | None = None
    """Set where other calls belong to this one: an ensemble's."""
    parent_id: str | None = None
    """The `call_id` of the ensemble's call that this one is part of."""
    details: Mapping[str, Any] | None = None
    """What an ensemble made of its members' answers; and as `unpriced` why there can be no price."""
    reservation: int | None = field(default=None, repr=False, compare=False)
    """What is kept free for it in budgets until it has ended."""
    time: float = 0.0
    """Seconds since the epoch when the call ended."""
    seq: int = 0
    """Position in the journal, from 1, given by it."""

    @property
    def provider_model(self) -> str:
        """The LM that answered: ``provider/model``."""
        return f"{self.provider}/{self.model}"

    def without_secrets(self, redactor: "Redactor", errors: "Redactor") -> "LMCall":
        """The call without secrets.

        Args:
            redactor: Cuts them out of what was asked and answered.
            errors: Cuts them out of what went wrong.
        """
        prompt = None if self.prompt is None else self.prompt.to_dict()
        said = {"inputs": self.inputs, "outputs": self.outputs, "completion": self.completion, "details": self.details}
        changed: dict[str, Any] = {}
        if redactor.concerns([said, prompt]):
            changed = {name: redactor.json(value) for name, value in said.items()}
            changed["prompt"] = None if prompt is None else Prompt.from_dict(redactor.json(prompt))
        if self.error is not None:
            changed["error"] = errors.text(self.error)
        return replace(self, **changed) if changed else self

    def to_dict(self, *, prompt: bool = False) -> dict[str, Any]:
        """The call as JSON values, in field order; what `get_journal` returns.

        Args:
            prompt: With its prompt, some kilobytes, under that name.
        """
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        record.pop("prompt")
        record.pop("reservation")
        if prompt:
            record["prompt"] = None if self.prompt is None else self.prompt.to_dict()
        record["scope"] = str(self.scope) if self.scope is not None else None
        record["usage"] = {f.name: getattr(self.usage, f.name) for f in fields(self.usage)}
        record["cost"] = str(self.cost) if self.cost is not None else None
        record["parts"] = list(self.parts)
        record["inputs"] = dict(self.inputs)
        record["outputs"] = dict(self.outputs) if self.outputs is not None else None
        record["details"] = dict(self.details) if self.details is not None else None
        return record
