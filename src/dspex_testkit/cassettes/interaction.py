"""`Interaction`: one canonical request with its canonical answer, and its form in a file.

The form is vcrpy's (request, response), so that vcrpy and everything that reads its cassettes can read it; bodies are
structured data instead of text, because people review recordings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from dspex_testkit.errors import CassetteFormatError

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
        parts = (self.response or {}).get("message", {}).get("parts", [])
        return "".join(part.get("text") or "" for part in parts if part.get("type") in ("text", "refusal"))

    @property
    def age_from(self) -> datetime | None:
        """When it was recorded."""
        if self.recorded_at is None:
            return None
        moment = datetime.fromisoformat(self.recorded_at)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def to_record(self) -> dict[str, Any]:
        """Its form in a file."""
        body: dict[str, Any] = {}
        if self.response is not None:
            body["response"] = self.response
        if self.error is not None:
            body["error"] = self.error
        if self.chunks is not None:
            body["chunks"] = list(self.chunks)
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
        response, error = answered.get("response"), answered.get("error")
        if (response is None) == (error is None):
            raise CassetteFormatError(f"{place}.response.body must hold either 'response' or 'error'")
        if response is not None:
            _check_response(response, f"{place}.response.body.response")
        elif not isinstance(_mapping(error, f"{place}.response.body.error").get("code"), str):
            raise CassetteFormatError(f"{place}.response.body.error needs a code")
        chunks = answered.get("chunks")
        if chunks is not None:
            _check_chunks(chunks, f"{place}.response.body.chunks")
        recording = _mapping(answer.get("recording") or {}, f"{place}.response.recording")
        try:
            return cls(
                request=dict(body),
                response=response,
                error=error,
                chunks=None if chunks is None else tuple(chunks),
                recorded_at=_moment(recording.get("recorded_at")),
                elapsed_ms=_number(recording.get("elapsed_ms")),
                cost=None if recording.get("cost") is None else Decimal(str(recording["cost"])),
                live_model=recording.get("live_model"),
            )
        except (ValueError, TypeError, ArithmeticError) as error_:
            raise CassetteFormatError(f"{place}.response.recording cannot be read: {error_}") from error_


def _mapping(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CassetteFormatError(f"{place} must be a map, but {type(value).__name__} came")
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
        raise CassetteFormatError(f"{place} must be a list of maps, but {type(chunks).__name__} came")
    for index, chunk in enumerate(chunks):
        found = _mapping(chunk, f"{place}[{index}]")
        _mapping(found.get("event"), f"{place}[{index}].event")
        if not isinstance(found.get("at_ms", 0), int | float):
            raise CassetteFormatError(f"{place}[{index}].at_ms must be a number")


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _moment(value: object) -> str | None:
    """An ISO moment as text; YAML reads an unquoted one as a datetime."""
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    datetime.fromisoformat(text)
    return text
