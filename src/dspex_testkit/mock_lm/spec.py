"""The JSON form of a mock: what travels in `configure_lm`, lies in a fixture file, and is sent by Elixir.

Reading a spec needs no dspy. The forms of the design note that asked for this kit are accepted as they are.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.mock_lm.nearest import nearest_hint

Mode = Literal["deterministic", "scripted", "random", "derived"]

_IDENTITY_KEYS = frozenset({"provider", "type", "model"})
"""What names an LM rather than its answers; whoever reads the whole config knows what to do with them."""
_ALIASES = {"answers": "script", "response_generator": "generator"}


class MockSpec(BaseModel):
    """How a mock answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    mode: Mode = Field(default="derived", description="Which kind of mock; left out, the other keys tell.")
    responses: dict[str, Any] | None = Field(
        default=None,
        description="Answers by the value of any input, or by the JSON of all inputs; `default` answers the rest. "
        "A plain value is for the single (or first) output, an object gives values per output field.",
    )
    script: tuple[Any, ...] | None = Field(default=None, description="Answers in the order of the calls.")
    on_exhausted: Literal["error", "cycle", "last"] = Field(
        default="error", description="What a script does after its last answer."
    )
    seed: int | str | None = Field(default=None, description="The seed of a random mock.")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        spec: dict[str, Any] = {
            _ALIASES.get(str(key), str(key)): value for key, value in given.items() if key not in _IDENTITY_KEYS
        }
        generator = spec.pop("generator", None)
        if generator is not None:
            if generator != "random":
                raise ValueError(f"generator {generator!r} is not known; the one there is is 'random'")
            spec.setdefault("mode", "random")
        if isinstance(spec.get("seed"), bool):
            raise ValueError("seed must be an integer or a text, not a boolean")
        spec.setdefault("mode", _mode_of(spec))
        return spec

    @model_validator(mode="after")
    def _check(self) -> "MockSpec":
        if self.mode == "scripted" and not self.script:
            raise ValueError("a scripted mock needs a script with at least one answer: script=['first', …]")
        for key, mode in _MODE_OF_KEY.items():
            if getattr(self, key) is not None and self.mode != mode:
                raise ValueError(f"{key!r} belongs to mode {mode!r}, but the mode is {self.mode!r}")
        return self


_MODE_OF_KEY: dict[str, Mode] = {"script": "scripted", "responses": "deterministic"}

SPEC_KEYS = frozenset(MockSpec.model_fields) | _ALIASES.keys() | {"generator"}
"""The top-level keys of a config that say how a mock answers."""


def parse_mock_spec(config: Mapping[str, Any]) -> MockSpec:
    """Read a mock's JSON.

    Args:
        config: The spec; `provider`, `type` and `model` may stand beside it and are left to others.

    Raises:
        InvalidMockSpecError: A key is unknown or a value has the wrong type; names the key and the nearest valid one.
    """
    if not isinstance(config, Mapping):
        raise InvalidMockSpecError(
            f"A mock's spec is an object such as {{'responses': {{…}}}}, not {type(config).__name__}."
        )
    try:
        return MockSpec.model_validate(dict(config))
    except ValidationError as error:
        raise _invalid(error) from None


def _mode_of(spec: Mapping[str, Any]) -> Mode:
    if spec.get("script") is not None:
        return "scripted"
    if spec.get("responses") is not None:
        return "deterministic"
    return "random" if spec.get("seed") is not None else "derived"


def _invalid(error: ValidationError) -> InvalidMockSpecError:
    problems = []
    keys = []
    for problem in error.errors():
        path = [str(step) for step in problem["loc"]]
        keys.append(".".join(path))
        if problem["type"] == "extra_forbidden":
            known = sorted(SPEC_KEYS)
            hint = nearest_hint(path[-1], known)
            problems.append(f"unknown key {keys[-1]!r}{hint}; known are {', '.join(known)}")
        else:
            text = problem["msg"].removeprefix("Value error, ")
            problems.append(f"{keys[-1]}: {text}" if path else text)
    message = f"The mock's spec cannot be used: {'; '.join(problems)}."
    return InvalidMockSpecError(message, details={"keys": [key for key in keys if key]})
