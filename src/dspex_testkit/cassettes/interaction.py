"""`Interaction`: one canonical request with its canonical answer, and its form in a file.

The form is vcrpy's (request, response), so that vcrpy and everything that reads its cassettes can read it; bodies are
structured data instead of text, because people review recordings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from dspex_testkit.cassettes.yaml_text import OneLine, OneLineList
from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.limits import json_kind

_STATUS = {
    "rate_limit": 429,
    "auth": 401,
    "billing": 402,
    "timeout": 504,
    "invalid_request": 400,
    "context_length": 400,
    "unsupported_model": 404,
}


@dataclass(frozen=True, slots=True)
class Interaction:
    """A request and what came of it: a response or an error."""

    request: dict[str, Any]
    """The canonical request as JSON; its model is the one that was asked for."""
    response: dict[str, Any] | None = None
    """The canonical response as JSON; None where the LM failed."""
    error: dict[str, Any] | None = None
    """The canonical error: code, message, status, provider, provider_code, retry_after."""
    chunks: tuple[dict[str, Any], ...] | None = None
    """Stream events with the milliseconds at which they came; None where the answer was not streamed."""
    ended: str | None = None
    """Where there is neither response nor error, why: the call was `cancelled`, or its stream `closed`."""
    recorded_at: str | None = None
    """ISO 8601, UTC."""
    elapsed_ms: float | None = None
    cost: Decimal | None = None
    """US dollars; None where the price is unknown."""
    live_model: str | None = None
    """The model that answered, where another one was asked for."""

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.request["model"])

    @property
    def text(self) -> str:
        """The answer's text, or the error's message; for people."""
        if self.error is not None:
            return f"{self.error.get('code')}: {self.error.get('message', '')}"
        if self.ended is not None:
            return f"({self.ended} after {len(self.chunks or ())} pieces)"
        parts = (self.response or {}).get("message", {}).get("parts", [])
        return "".join(part.get("text") or "" for part in parts if part.get("type") in ("text", "refusal"))

    @property
    def age_from(self) -> datetime | None:
        """When it was recorded."""
        if self.recorded_at is None:
            return None
        moment = datetime.fromisoformat(self.recorded_at)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def to_the_second(self) -> "Interaction":
        """As it is kept: no program needs to know more of when it was recorded."""
        moment = self.age_from
        return self if moment is None else replace(self, recorded_at=moment.isoformat(timespec="seconds"))

    def to_record(self, *, old: bool = False) -> dict[str, Any]:
        """Its form in a file; the first one where `old`."""
        body: dict[str, Any] = {}
        if self.response is not None:
            body["response"] = self.response if old else _tokens_in_lines(self.response)
        if self.error is not None:
            body["error"] = self.error
        if self.ended is not None:
            body["ended"] = self.ended
        if self.chunks is not None and old:
            body["chunks"] = list(self.chunks)
        elif self.chunks is not None:
            body["events"] = [OneLine(chunk["event"]) for chunk in self.chunks]
            body["at_ms"] = OneLineList(_rounded(chunk.get("at_ms")) for chunk in self.chunks)
        recording = {
            "recorded_at": self.recorded_at,
            "elapsed_ms": self.elapsed_ms,
            "cost": None if self.cost is None else format(self.cost, "f"),
            "live_model": self.live_model,
        }
        code, message = self._status()
        return {
            "request": {
                "method": "POST",
                "uri": f"lm:///{quote(self.model)}",
                "headers": {"content-type": ["application/json"]},
                "body": self.request,
            },
            "response": {
                "status": {"code": code, "message": message},
                "headers": {"content-type": ["application/json"]},
                "body": body,
                "recording": {key: value for key, value in recording.items() if value is not None},
            },
        }

    def _status(self) -> tuple[int, str]:
        if self.error is None:
            return 200, "OK"
        code = str(self.error.get("code"))
        return self.error.get("status") or _STATUS.get(code, 500), code

    @classmethod
    def from_record(cls, record: object, place: str) -> "Interaction":
        """Read its form in a file.

        Args:
            record: JSON values.
            place: Where it stands, for messages.

        Raises:
            CassetteFormatError: Something is missing or of the wrong type.
        """
        request = _mapping(_mapping(record, place).get("request"), f"{place}.request")
        body = _mapping(request.get("body"), f"{place}.request.body")
        _check_request(body, f"{place}.request.body")
        answer = _mapping(_mapping(record, place).get("response"), f"{place}.response")
        answered = _mapping(answer.get("body"), f"{place}.response.body")
        response, error, ended = answered.get("response"), answered.get("error"), answered.get("ended")
        if [response, error, ended].count(None) != 2:
            raise CassetteFormatError(f"{place}.response.body must hold either 'response' or 'error', or 'ended'")
        if ended is not None:
            if ended not in ("cancelled", "closed"):
                raise CassetteFormatError(
                    f"{place}.response.body.ended must be cancelled or closed, but {ended!r} came"
                )
        elif response is not None:
            _check_response(response, f"{place}.response.body.response")
        elif not isinstance(_mapping(error, f"{place}.response.body.error").get("code"), str):
            raise CassetteFormatError(f"{place}.response.body.error needs a code")
        chunks = answered.get("chunks")
        if chunks is not None:
            _check_chunks(chunks, f"{place}.response.body.chunks")
        elif answered.get("events") is not None:
            chunks = _chunks_of(answered["events"], answered.get("at_ms"), f"{place}.response.body")
        recording = _mapping(answer.get("recording") or {}, f"{place}.response.recording")
        try:
            return cls(
                request=dict(body),
                response=response,
                error=error,
                chunks=None if chunks is None else tuple(chunks),
                ended=ended,
                recorded_at=_moment(recording.get("recorded_at")),
                elapsed_ms=_number(recording.get("elapsed_ms")),
                cost=None if recording.get("cost") is None else Decimal(str(recording["cost"])),
                live_model=recording.get("live_model"),
            )
        except (ValueError, TypeError, ArithmeticError) as error_:
            raise CassetteFormatError(f"{place}.response.recording cannot be read: {error_}") from error_


def _mapping(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CassetteFormatError(f"{place} must be a map, but {json_kind(value)} came")
    return value


def _check_request(body: Mapping[str, Any], place: str) -> None:
    if not isinstance(body.get("model"), str) or not isinstance(body.get("messages"), list):
        raise CassetteFormatError(f"{place} is no LM request: it needs 'model' and 'messages'")
    for index, message in enumerate(body["messages"]):
        _check_parts(message, f"{place}.messages[{index}]")
    _mapping(body.get("config") or {}, f"{place}.config")


def _check_response(response: object, place: str) -> None:
    found = _mapping(response, place)
    _check_parts(found.get("message"), f"{place}.message")
    if not isinstance(found.get("finish_reason"), str):
        raise CassetteFormatError(f"{place} needs message.parts and finish_reason")
    _mapping(found.get("usage") or {}, f"{place}.usage")


def _check_parts(message: object, place: str) -> None:
    parts = _mapping(message, place).get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, dict) and "type" in part for part in parts):
        raise CassetteFormatError(f"{place} needs parts: a list of maps, each with its type")


def _check_chunks(chunks: object, place: str) -> None:
    if not isinstance(chunks, list):
        raise CassetteFormatError(f"{place} must be a list of maps, but {json_kind(chunks)} came")
    for index, chunk in enumerate(chunks):
        found = _mapping(chunk, f"{place}[{index}]")
        _mapping(found.get("event"), f"{place}[{index}].event")
        if not isinstance(found.get("at_ms", 0), int | float):
            raise CassetteFormatError(f"{place}[{index}].at_ms must be a number")


def _chunks_of(events: object, at_ms: object, place: str) -> list[dict[str, Any]]:
    """The events of a stream with their times, which stand beside them in a line of their own."""
    if not isinstance(events, list):
        raise CassetteFormatError(f"{place}.events must be a list of maps, but {json_kind(events)} came")
    times = at_ms if at_ms is not None else [0] * len(events)
    if not isinstance(times, list) or not all(isinstance(each, int | float) for each in times):
        raise CassetteFormatError(f"{place}.at_ms must be a list of numbers")
    if len(times) != len(events):
        raise CassetteFormatError(f"{place}.at_ms has {len(times)} numbers for {len(events)} events")
    for index, event in enumerate(events):
        _mapping(event, f"{place}.events[{index}]")
    return [{"at_ms": at, "event": event} for at, event in zip(times, events, strict=True)]


def _rounded(at_ms: float | None) -> int:
    """As exact as a pace has to be, so that recording the same again changes little."""
    return int(round(at_ms or 0.0, -1))


def _tokens_in_lines(value: Any) -> Any:
    """A response with what is said of each token in a line of its own."""
    if isinstance(value, dict):
        if "logprob" in value:
            return OneLine(value)
        return {key: _tokens_in_lines(item) for key, item in value.items()}
    return [_tokens_in_lines(item) for item in value] if isinstance(value, list) else value


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _moment(value: object) -> str | None:
    """An ISO moment as text; YAML reads an unquoted one as a datetime."""
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    datetime.fromisoformat(text)
    return text
