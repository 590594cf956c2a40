"""What every wire format offers, and the two ways in which streams are framed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from dspex_testkit.protocol import codec
from dspex_testkit.wires.exchange import Answered, Ask, Pause
from dspex_testkit.wires.failures import MESSAGES, STATUSES, Failure

EVENT_STREAM = "text/event-stream"
JSON_LINES = "application/x-ndjson"


class Wire(ABC):
    """One provider's format for one kind of request.

    `read` and `write` are each other's mirror in a client; nothing here does I/O.
    """

    provider: ClassVar[str]
    """Whose format it is; a target may stand for another provider that speaks the same."""
    stream_type: ClassVar[str] = EVENT_STREAM
    statuses: ClassVar[Mapping[str, int]] = {}
    """Statuses that differ from the usual ones."""

    messages: ClassVar[Mapping[str, str]] = {}
    """The provider's own words where clients look for them; `{model}` is filled in."""

    @abstractmethod
    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words.

        Args:
            body: The JSON that came.
            path: What the URL says: perhaps `model` and `action`.

        Raises:
            Refused: It cannot be understood.
        """

    @abstractmethod
    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""

    @abstractmethod
    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""

    @abstractmethod
    def error(self, failure: Failure, status: int) -> dict[str, Any]:
        """The body of a refusal."""

    def status(self, failure: Failure) -> int:
        """The status of a refusal."""
        return failure.status or self.statuses.get(failure.kind) or STATUSES[failure.kind]

    def message(self, kind: str, model: str) -> str:
        """What the provider says to a kind of failure."""
        return (self.messages.get(kind) or MESSAGES[kind]).format(model=model)

    def rate_headers(self, limits: Mapping[str, str]) -> dict[str, str]:
        """How the provider reports its rate limits; `limits` has plain names such as `limit-requests`."""
        return {f"x-ratelimit-{name}": value for name, value in limits.items()}


def sse(data: Mapping[str, Any] | str, event: str | None = None) -> bytes:
    """One server-sent event."""
    payload = data.encode() if isinstance(data, str) else codec.dumps(data)
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + payload + b"\n\n"


def sse_events(events: Iterator[dict[str, Any] | Pause]) -> Iterator[bytes | Pause]:
    """Server-sent events that are named by their type."""
    for event in events:
        yield event if isinstance(event, Pause) else sse(event, event["type"])


def json_line(data: Mapping[str, Any]) -> bytes:
    """One line of a JSON stream."""
    return codec.dumps(data) + b"\n"


def json_text(data: Any) -> str:
    """Arguments of a tool, as providers that send them as text do."""
    return codec.dumps(data).decode()
