"""Reading a recorded response: DSPy's own client reads it, over a transport that holds nothing but the recording.

So failures, their wish to wait, streams of any kind and every part of an answer come out as they would have come from
the provider.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dspy.lm15 import (
    LM15Error,
    Message,
    Request,
    Response,
    TextPart,
    ToolCallPart,
    TransportError,
    materialize_response,
)

from dspex_testkit.cassettes.playing import UNFINISHED
from dspex_testkit.cassettes.traffic.exchange import Exchange
from dspex_testkit.dspy_internals.native_transport import TransportRequest, TransportResponse, parse_sse
from dspex_testkit.dspy_internals.wire import error_to_dict, event_record, response_record


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; a request for several (`n`) has as many."""

    response: Response | None = None
    error: dict[str, Any] | None = None
    """The canonical error as JSON."""
    events: tuple[Any, ...] | None = None
    """The canonical events of a stream, as far as they came; when they came is not recorded."""
    ended: str | None = None
    """Where there is neither: how the client gave it up."""

    def record(self) -> dict[str, Any]:
        """The fields of an `Interaction`."""
        chunks = None if self.events is None else tuple({"at_ms": 0.0, "event": event_record(e)} for e in self.events)
        response = None if self.response is None else response_record(self.response)
        return {"response": response, "error": self.error, "chunks": chunks, "ended": self.ended}


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """How a provider answers."""

    client: Any
    """The class of DSPy's client of it."""
    choices: str | None = None
    """Under which key it lists several answers; None where it gives one only."""
    usage: str = "usage"
    """Under which key it says what they cost together."""
    schema_tool: str | None = None
    """A tool whose arguments are the text of the answer."""

    def read(self, exchange: Exchange, model: str) -> Iterator[Answer]:
        """What came of a request to this model, the provider's prefix left out."""
        events = _events(exchange) if exchange.status < 400 else None
        whole: list[Event] = [(None, exchange.answered)]
        for body in _apart(self, whole if events is None else events):
            written = body[0][1] if events is None else _written(body)
            yield self._as_text(self._read(exchange, model, written, streamed=events is not None))

    def _read(self, exchange: Exchange, model: str, body: bytes, *, streamed: bool) -> Answer:
        client = self.client(api_key="reading-only", transport=_Recorded(exchange, body))
        request = Request(model, (Message.user("-"),))
        events: list[Any] = []
        try:
            if not streamed:
                return Answer(client.complete(request))
            for event in client.stream(request):
                events.append(event)
            return Answer(materialize_response(iter(events), request), events=tuple(events))
        except LM15Error as error:
            came = tuple(events) or None
            if came is not None and came[-1].type == "end":
                # Only the connection had not ended yet.
                return Answer(materialize_response(iter(came), request), events=came)
            if exchange.cut in UNFINISHED:
                return Answer(events=came, ended=exchange.cut)
            return Answer(error=error_to_dict(error), events=came)

    def _as_text(self, answer: Answer) -> Answer:
        """The answer, with the arguments of the schema's tool as its text."""
        response = answer.response
        parts = () if response is None else response.message.parts
        if response is None or not any(_is_schema(part, self.schema_tool) for part in parts):
            return answer
        text = [TextPart(json.dumps(part.input)) for part in parts if _is_schema(part, self.schema_tool)]
        message = Message("assistant", tuple(text))
        # Its events are those of a call; the text is streamed anew.
        return Answer(replace(response, message=message, finish_reason="stop"))


class _Recorded:
    """A transport that answers every request with the same recorded response."""

    def __init__(self, exchange: Exchange, body: bytes) -> None:
        self._exchange = exchange
        self._body = body

    def stream(self, request: TransportRequest) -> TransportResponse:
        return TransportResponse(
            status=self._exchange.status,
            reason=self._exchange.reason,
            headers=list(self._exchange.headers),
            http_version="HTTP/1.1",
            chunks=self._chunks(),
            release=lambda consumed: None,
        )

    def _chunks(self) -> Iterator[bytes]:
        yield self._body
        if self._exchange.cut is not None:
            raise TransportError(self._exchange.cut)


Event = tuple[str | None, bytes]
"""The name and the data of an event."""


def _events(exchange: Exchange) -> list[Event] | None:
    """The pieces of a streamed body; None where it came whole."""
    body = exchange.answered.lstrip()
    if body.startswith((b"data:", b"event:", b":")):
        lines = iter(body.splitlines(keepends=True))
        return [(event.event, event.data.encode()) for event in parse_sse(lines)]
    if body.startswith(b"["):
        # Gemini streams one JSON array where nobody asked for events.
        found = _json(body)
        return [(None, json.dumps(piece).encode()) for piece in found] if isinstance(found, list) else None
    return None


def _written(events: list[Event]) -> bytes:
    heads = ((f"event: {name}\n" if name else "", data) for name, data in events)
    return b"".join(head.encode() + b"data: " + data + b"\n\n" for head, data in heads)


def _apart(form: AnswerFormat, events: list[Event]) -> list[list[Event]]:
    """The events of each of several answers, as if each had come alone; what they cost is said with the first."""
    bodies = [_json(data) for _, data in events] if form.choices else []
    listed = [body.get(form.choices) or [] for body in bodies if isinstance(body, dict)]
    positions = sorted({_index(choice) for choices in listed for choice in choices})
    if len(positions) < 2:
        return [events]
    return [_of_one(form, events, wanted, first=wanted == positions[0]) for wanted in positions]


def _of_one(form: AnswerFormat, events: list[Event], wanted: int, *, first: bool) -> list[Event]:
    found = []
    for name, data in events:
        body = _json(data)
        listed = body.get(form.choices or "") or [] if isinstance(body, dict) else []
        if not isinstance(body, dict) or (not listed and first):
            found.append((name, data))
        elif any(_index(choice) == wanted for choice in listed):
            found.append((name, json.dumps(_only(form, body, wanted, first=first)).encode()))
    return found


def _only(form: AnswerFormat, body: dict[str, Any], wanted: int, *, first: bool) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if first or name != form.usage}
    choices = [{**choice, "index": 0} for choice in body.get(form.choices or "") or [] if _index(choice) == wanted]
    return {**kept, str(form.choices): choices}


def _index(choice: Any) -> int:
    return int(choice.get("index") or 0) if isinstance(choice, dict) else 0


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _is_schema(part: Any, schema_tool: str | None) -> bool:
    return isinstance(part, ToolCallPart) and part.name == schema_tool
