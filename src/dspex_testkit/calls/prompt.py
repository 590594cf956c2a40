"""`Prompt`: what an LM was asked, part by part, as a value that may be compared with a snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt as it was sent, and what it was made of. Nothing in it changes from run to run."""

    model: str
    """The LM that was asked: ``provider/model``."""
    signature: str | None = None
    """``question -> answer``; None for a call without a signature."""
    adapter: str | None = None
    """The class of the adapter."""
    instructions: str | None = None
    """The signature's instructions."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    demos: Sequence[Mapping[str, Any]] = ()
    """The few-shot examples."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Name, description and parameters of each tool that was offered natively."""
    messages: Sequence[Mapping[str, Any]] = ()
    """Role and content of each message: a text, or parts where it has others too."""

    @property
    def system(self) -> str:
        """The system message's text, or the empty text."""
        return next((str(message["content"]) for message in self.messages if message["role"] == "system"), "")

    def to_dict(self) -> dict[str, Any]:
        """The prompt as JSON values, for snapshots of any library."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Prompt":
        """A prompt from its JSON; keys that this version does not know are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})

    def __str__(self) -> str:
        parts = [
            f"model: {self.model}",
            f"signature: {self.signature}",
            f"adapter: {self.adapter}",
            f"instructions: {self.instructions}",
            f"inputs: {dict(self.inputs)!r}",
            *(f"demo {number}: {dict(demo)!r}" for number, demo in enumerate(self.demos, 1)),
            *(f"tool {tool.get('name')}: {dict(tool)!r}" for tool in self.tools),
            *(f"--- {message['role']}\n{message['content']}" for message in self.messages),
        ]
        return "\n".join(parts) + "\n"
