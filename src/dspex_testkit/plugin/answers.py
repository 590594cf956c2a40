"""What an execution gave, as tests like to see it: outputs with attributes, and the LM that answered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dspex_testkit.calls import Scope

__tracebackhide__ = True  # a test that fails shows its own lines


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """Which LM answered an execution."""

    provider: str
    model: str
    scope: Scope
    mocked: bool

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Answer(Mapping[str, Any]):
    """What an execution gave: outputs by attribute or by key.

    `lm` says which LM answered, unless an output has that name; ``answer["…"]`` is always an output.

    Args:
        result: The result of the command.
    """

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.result = dict(result)
        """All that the bridge said."""
        self.outputs: dict[str, Any] = dict(result["outputs"])
        """Values per output field."""

    @property
    def answered_by(self) -> AnsweredBy:
        """Which LM answered, and the scope that decided."""
        lm = self.result["lm"]
        return AnsweredBy(lm["provider"], lm["model"], Scope(lm["scope"]), lm["mocked"])

    def __getattr__(self, name: str) -> Any:
        # Looked up in `__dict__`, because a copy that is being made has no attributes yet.
        outputs = self.__dict__.get("outputs", {})
        if name in outputs:
            return outputs[name]
        if name == "lm" and "result" in self.__dict__:
            return self.answered_by
        raise AttributeError(f"the answer has no output {name!r}; it has {', '.join(map(repr, outputs)) or 'none'}")

    def __getitem__(self, name: str) -> Any:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    def __repr__(self) -> str:
        by = f", lm='{self.answered_by}', scope={self.answered_by.scope.value!r}" if self.result.get("lm") else ""
        return f"Answer({', '.join(f'{name}={value!r}' for name, value in self.outputs.items())}{by})"
