"""Parameters of an LM: an allow-list with types and ranges."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from dspex_testkit.errors import InvalidLMConfigError
from dspex_testkit.limits import LARGEST_COUNT, LONGEST_TIMEOUT_MS, brief, span
from dspex_testkit.nearest import nearest_hint


@dataclass(frozen=True, slots=True)
class _Param:
    kind: Literal["number", "integer", "boolean", "text", "texts"]
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    above: bool = False
    """Whether `low` itself is too small."""

    @property
    def wanted(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        noun = {
            "number": "a number",
            "integer": "an integer",
            "boolean": "true or false",
            "text": "a text",
            "texts": "a text or a list of texts",
        }[self.kind]
        if self.low is not None and self.high is not None:
            return f"{noun} above {self.low}, {self.high} at most" if self.above else span(noun, self.low, self.high)
        if self.low is None:
            return noun
        return f"{noun} above {self.low}" if self.above else f"{noun} of at least {self.low}"

    def accepts(self, value: object) -> bool:
        match self.kind:
            case "boolean":
                return isinstance(value, bool)
            case "text":
                return isinstance(value, str) and (not self.choices or value in self.choices)
            case "texts":
                return isinstance(value, str) or (isinstance(value, list) and all(isinstance(v, str) for v in value))
            case "number" | "integer":
                numeric = int if self.kind == "integer" else (int, float)
                if isinstance(value, bool) or not isinstance(value, numeric):
                    return False
                if (isinstance(value, float) and not math.isfinite(value)) or (self.above and value == self.low):
                    return False
                return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


PARAMS: dict[str, _Param] = {
    "temperature": _Param("number", 0, 2),
    "max_tokens": _Param("integer", 1, LARGEST_COUNT),
    "top_p": _Param("number", 0, 1),
    "top_k": _Param("integer", 1, LARGEST_COUNT),
    "stop": _Param("texts"),
    "seed": _Param("integer", -LARGEST_COUNT - 1, LARGEST_COUNT),
    "n": _Param("integer", 1, 128),
    "presence_penalty": _Param("number", -2, 2),
    "frequency_penalty": _Param("number", -2, 2),
    "timeout": _Param("number", 0, LONGEST_TIMEOUT_MS // 1000, above=True),
    "num_retries": _Param("integer", 0, 20),
    "reasoning_effort": _Param("text", choices=("none", "minimal", "low", "medium", "high")),
    "logprobs": _Param("boolean"),
    "user": _Param("text"),
}
"""Every parameter that a config may name; DSPy's own spellings."""


def check_param(name: str, value: Any) -> Any:
    """The value, once it is known to fit the parameter.

    Raises:
        InvalidLMConfigError: The parameter does not exist, or its value has the wrong type or range.
    """
    if (param := PARAMS.get(name)) is None:
        raise InvalidLMConfigError(
            f"Unknown LM parameter {name!r}{nearest_hint(name, PARAMS)}; the known ones are {', '.join(PARAMS)}",
            details={"parameter": name, "known": list(PARAMS)},
        )
    if not param.accepts(value):
        raise InvalidLMConfigError(
            f"Invalid LM parameter: {name} must be {param.wanted}, but {brief(value)} came",
            details={"parameter": name, "wanted": param.wanted},
        )
    return value
