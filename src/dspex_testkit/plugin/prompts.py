"""Prompts as values that may be compared with a snapshot: what a program asked its LM, part by part."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
    messages: Sequence[Mapping[str, Any]] = ()
    """Role and content of each message."""

    @property
    def system(self) -> str:
        """The system message's text, or the empty text."""
        return next((str(message["content"]) for message in self.messages if message["role"] == "system"), "")

    def to_dict(self) -> dict[str, Any]:
        """The prompt as JSON values, for snapshots of any library."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [
            f"model: {self.model}",
            f"signature: {self.signature}",
            f"adapter: {self.adapter}",
            f"instructions: {self.instructions}",
            f"inputs: {dict(self.inputs)!r}",
            *(f"demo {number}: {dict(demo)!r}" for number, demo in enumerate(self.demos, 1)),
            *(f"--- {message['role']}\n{message['content']}" for message in self.messages),
        ]
        return "\n".join(parts) + "\n"


def prompt_of(lm: Any, prompt: Any, messages: Any, capture: Any) -> Prompt:
    """What an LM is about to be asked.

    Args:
        lm: The LM.
        prompt: Its text, where there are no messages.
        messages: Its messages in OpenAI's form.
        capture: What the adapter knew, or None.
    """
    from dspex_testkit.mock_lm.values import to_json_mapping

    sent = messages or ([] if prompt is None else [{"role": "user", "content": prompt}])
    shown = [{"role": str(message["role"]), "content": _content(message.get("content"))} for message in sent]
    if capture is None:
        return Prompt(model=str(lm.model), messages=shown)
    signature = capture.full_signature
    given = capture.inputs
    return Prompt(
        model=str(lm.model),
        signature=signature.signature,
        adapter=type(capture.adapter).__name__,
        instructions=signature.instructions,
        inputs=to_json_mapping({name: given[name] for name in signature.input_fields if name in given}),
        demos=[to_json_mapping(dict(demo)) for demo in capture.demos],
        messages=shown,
    )


def _content(content: Any) -> Any:
    """A text, or the parts of a message that has several; what is no text is named by its kind."""
    if not isinstance(content, list):
        return content
    return [part if part.get("type") == "text" else {"type": part.get("type")} for part in content]
