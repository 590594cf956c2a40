"""The JSON form of a mock: what travels in `configure_lm`, lies in a fixture file, and is sent by Elixir.

Reading a spec needs no dspy. The forms of the design note that asked for this kit are accepted as they are.
"""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.limits import LARGEST_BUDGET_USD, json_kind
from dspex_testkit.mock_lm.durations import read_duration
from dspex_testkit.mock_lm.fault_spec import FaultSpec, read_fault
from dspex_testkit.mock_lm.reading_forms import read_form
from dspex_testkit.mock_lm.rule import RuleSpec, When
from dspex_testkit.mock_lm.rules import RuleIndex
from dspex_testkit.nearest import nearest_hint

Mode = Literal["deterministic", "scripted", "random", "function", "derived"]

_IDENTITY_KEYS = frozenset({"provider", "type", "model"})
"""What names an LM rather than its answers; whoever reads the whole config knows what to do with them."""
_ALIASES = {"answers": "script", "response_generator": "generator"}


class StreamSpec(BaseModel):
    """The times within a stream; each a number of milliseconds or a distribution, see `durations`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    first_token_ms: Any = Field(default=None, description="Until the first token.")
    between_tokens_ms: Any = Field(default=None, description="Before every other token.")


class Prices(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    input: Decimal = Field(ge=0, le=LARGEST_BUDGET_USD)
    output: Decimal = Field(ge=0, le=LARGEST_BUDGET_USD)
    cached: Decimal | None = Field(
        default=None, ge=0, le=LARGEST_BUDGET_USD, description="Cached input; as input where left out."
    )
    reasoning: Decimal | None = Field(
        default=None, ge=0, le=LARGEST_BUDGET_USD, description="Reasoning; as output where left out."
    )


class MockSpec(BaseModel):
    """How a mock answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    mode: Mode = Field(default="derived", description="Which kind of mock; left out, the other keys tell.")
    rules: tuple[RuleSpec, ...] = Field(default=(), description="Answers under conditions; they come first.")
    follow_demos: bool = Field(default=False, description="Answer as the demo with the same inputs, if there is one.")
    responses: dict[str, Any] | None = Field(
        default=None,
        description="Answers by the value of any input, or by the JSON of all inputs; `default` answers the rest. "
        "A plain value is for the single (or first) output, an object gives values per output field.",
    )
    script: tuple[Any, ...] | None = Field(default=None, description="Answers in the order of the calls.")
    on_exhausted: Literal["error", "cycle", "last"] = Field(
        default="error", description="What a script does after its last answer."
    )
    function: Any = Field(default=None, description="A callable, or `package.module:name` where that is allowed.")
    seed: int | str | None = Field(default=None, description="The seed of random answers and delays.")
    realistic: bool = Field(default=False, description="Random texts that look real, steered by the field's name.")
    locale: str | None = Field(default=None, description="The locale of realistic texts, such as `de_DE`.")
    faults: tuple[FaultSpec, ...] = Field(default=(), description="What goes wrong, on which calls.")
    latency_ms: Any = Field(default=None, description="How long an answer takes; a number or a distribution.")
    stream: StreamSpec | None = Field(default=None, description="How long the tokens of a stream take.")
    prices: Prices | None = Field(default=None, description="Prices in US dollars, instead of the model's listed ones.")
    derived: Literal["allow", "fail"] = Field(
        default="allow", description="Whether it may make up what nobody gave an answer for; `fail`: an error."
    )
    null_rate: float = Field(default=0.0, ge=0, le=1, description="The share of nulls where null is allowed.")
    _sent: bool = PrivateAttr(default=False)

    @cached_property
    def rule_index(self) -> RuleIndex:
        """The rules, read.

        Raises:
            InvalidMockSpecError: They contradict each other.
        """
        return RuleIndex(self.rules, sent=self._sent)

    @property
    def sent(self) -> bool:
        """Whether a client wrote it, so that its regular expressions are bounded."""
        return self._sent

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        spec: dict[str, Any] = {
            _ALIASES.get(str(key), str(key)): value for key, value in given.items() if key not in _IDENTITY_KEYS
        }
        for alias, key in _ALIASES.items():
            if alias in given and key in given:
                raise ValueError(f"{alias!r} and {key!r} mean the same; write one of them")
        if "default" in spec:
            spec["responses"] = _with_default(spec.get("responses"), spec.pop("default"))
        generator = spec.pop("generator", None)
        if callable(generator):
            spec["function"] = generator
        elif generator is not None:
            if generator != "random":
                raise ValueError(f"generator {generator!r} is not known; the one there is is 'random'")
            spec.setdefault("mode", "random")
        if isinstance(spec.get("faults"), str | Mapping):
            spec["faults"] = [spec["faults"]]
        if isinstance(spec.get("faults"), list | tuple):
            spec["faults"] = [read_fault(fault, f"faults[{i}]") for i, fault in enumerate(spec["faults"])]
        if isinstance(spec.get("seed"), bool):
            raise ValueError("seed must be an integer or a text, not a boolean")
        spec.setdefault("mode", _mode_of(spec))
        return spec

    @model_validator(mode="after")
    def _check(self) -> "MockSpec":
        if self.mode == "scripted" and not self.script:
            raise ValueError("a scripted mock needs a script with at least one answer: script=['first', …]")
        if self.mode == "function" and self.function is None:
            raise ValueError("a function mock needs a function: 'package.module:name'")
        for key, mode in _MODE_OF_KEY.items():
            if getattr(self, key) not in (None, False) and self.mode != mode:
                raise ValueError(f"{key!r} belongs to mode {mode!r}, but the mode is {self.mode!r}")
        return self


_MODE_OF_KEY: dict[str, Mode] = {
    "responses": "deterministic",
    "script": "scripted",
    "function": "function",
    "realistic": "random",
    "locale": "random",
}

SPEC_KEYS = frozenset(MockSpec.model_fields) | _ALIASES.keys() | {"default", "generator"}
"""The top-level keys of a config that say how a mock answers."""


def parse_mock_spec(config: Mapping[str, Any], *, sent: bool = False) -> MockSpec:
    """Read a mock's JSON.

    Args:
        config: The spec; `provider`, `type` and `model` may stand beside it and are left to others.
        sent: A client wrote it: its regular expressions are bounded (see `patterns`).

    Raises:
        InvalidMockSpecError: A key is unknown or a value has the wrong type; names the key and the nearest valid one.
    """
    if not isinstance(config, Mapping):
        raise InvalidMockSpecError(
            f"A mock's spec is an object such as {{'responses': {{…}}}}, not {json_kind(config)}."
        )
    try:
        spec = MockSpec.model_validate(dict(config))
    except ValidationError as error:
        raise _invalid(error) from None
    spec._sent = sent
    _read_answers(spec)
    return spec


def mock_spec_schema() -> dict[str, Any]:
    """The JSON Schema of a mock's spec, for editors and for whoever sends one.

    Aliases and the keys that name the LM are part of it. What an answer may look like is told in `reading_forms`.
    """
    schema = MockSpec.model_json_schema()
    properties = schema["properties"]
    for alias, key in _ALIASES.items():
        if key in properties:
            properties[alias] = properties[key]
    properties["default"] = {"description": "The same as `default` within `responses`."}
    for key in ("generator", "response_generator"):
        properties[key] = {"enum": ["random"], "description": "`random`: the mode of that name."}
    for key in sorted(_IDENTITY_KEYS):
        properties[key] = {"type": "string", "description": "Names the LM, not its answers."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _read_answers(spec: MockSpec) -> None:
    """Find what is wrong with an answer or rule now, not when somebody asks."""
    for key, value in (spec.responses or {}).items():
        read_form(value, f"responses[{key!r}]")
    for index, value in enumerate(spec.script or ()):
        read_form(value, f"script[{index}]")
    _ = spec.rule_index
    if spec.latency_ms is not None:
        read_duration(spec.latency_ms, "latency_ms")
    for key in StreamSpec.model_fields:
        if getattr(spec.stream, key, None) is not None:
            read_duration(getattr(spec.stream, key), f"stream.{key}")


def _with_default(responses: Any, default: Any) -> Any:
    if responses is None:
        return {"default": default}
    if isinstance(responses, Mapping) and "default" in responses:
        raise ValueError("'default' is given twice, also within responses; write one of them")
    return {**responses, "default": default} if isinstance(responses, Mapping) else responses


def _mode_of(spec: Mapping[str, Any]) -> Mode:
    if spec.get("script") is not None:
        return "scripted"
    if spec.get("function") is not None:
        return "function"
    if spec.get("responses") is not None:
        return "deterministic"
    if any(spec.get(key) for key in ("realistic", "locale", "null_rate")) or spec.get("seed") is not None:
        return "random"
    return "deterministic" if spec.get("rules") or spec.get("follow_demos") else "derived"


_NESTED: dict[str, type[BaseModel]] = {"stream": StreamSpec, "prices": Prices}


def _known_keys(path: Sequence[str]) -> Collection[str]:
    if "when" in path[:-1]:
        return When.model_fields
    if path[0] in _NESTED and len(path) > 1:
        return _NESTED[path[0]].model_fields
    return RuleSpec.model_fields if path[0] == "rules" and len(path) > 1 else SPEC_KEYS


_PLAIN_WORDS = {
    "Input should be a valid tuple": "wanted a list",
    "Input should be a valid list": "wanted a list",
    "Input should be a valid dictionary": "wanted an object",
    "Input should be a valid string": "wanted a text",
    "Input should be a valid integer": "wanted a whole number",
    "Input should be a valid number": "wanted a number",
    "Input should be a valid boolean": "wanted true or false",
    "Input should be a valid dictionary or instance of": "wanted an object",
}


def in_plain_words(message: str, value: Any) -> str:
    """What pydantic says of a value, in the words of whoever writes a spec."""
    for theirs, ours in _PLAIN_WORDS.items():
        if message.startswith(theirs):
            return f"{ours}, not {json_kind(value)}"
    return message.removeprefix("Value error, ")


def _invalid(error: ValidationError) -> InvalidMockSpecError:
    problems = []
    keys = []
    for problem in error.errors():
        path = [str(step) for step in problem["loc"]]
        keys.append(".".join(path))
        if problem["type"] == "extra_forbidden":
            known = sorted(_known_keys(path))
            hint = nearest_hint(path[-1], known)
            problems.append(f"unknown key {keys[-1]!r}{hint}; known are {', '.join(known)}")
        else:
            text = in_plain_words(problem["msg"], problem.get("input"))
            problems.append(f"{keys[-1]}: {text}" if path else text)
    message = f"The mock's spec cannot be used: {'; '.join(problems)}."
    return InvalidMockSpecError(message, details={"keys": [key for key in keys if key]})
