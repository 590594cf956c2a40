"""Requests and responses as values, and their JSON form in both directions.

Plain classes with slots: a dataclass would cost the launcher ten milliseconds before its first answer.
"""

import time

from dspex_testkit.errors import MalformedMessageError
from dspex_testkit.protocol import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ERLANG_TERM = 131
"""First byte of a term in Erlang's external format."""


class Request:
    """What a client asks.

    Args:
        id: Correlates the response; any integer, 0 included.
        command: Name of the handler.
        args: Its arguments.
    """

    __slots__ = ("args", "command", "id")

    def __init__(self, id: int, command: str, args: "dict[str, Any] | None" = None) -> None:
        self.id = id
        self.command = command
        self.args: dict[str, Any] = {} if args is None else args

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and (self.id, self.command, self.args) == (
            other.id,
            other.command,
            other.args,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Arguments may carry an API key.
        return f"Request(id={self.id}, command={self.command!r})"


class Response:
    """What the bridge answers; made by `ok` or `error`.

    Attributes:
        id: That of the request.
        success: Whether `result` or `message` and `code` hold the answer.
        result: The result of a success, always an object; empty otherwise.
        message: What went wrong, without the code; None for a success.
        code: Stable name of the error; None for a success.
        details: The error for a program; JSON-safe.
    """

    __slots__ = ("code", "details", "id", "message", "result", "success")

    def __init__(
        self,
        id: int,
        *,
        success: bool,
        result: "dict[str, Any] | None" = None,
        message: "str | None" = None,
        code: "str | None" = None,
        details: "Mapping[str, Any] | None" = None,
    ) -> None:
        self.id = id
        self.success = success
        self.result: dict[str, Any] = {} if result is None else result
        self.message = message
        self.code = code
        self.details: dict[str, Any] = dict(details or {})

    @classmethod
    def ok(cls, id: int, result: "dict[str, Any]") -> "Response":
        """A success."""
        return cls(id, success=True, result=result)

    @classmethod
    def error(cls, id: int, message: str, code: str, details: "Mapping[str, Any] | None" = None) -> "Response":
        """A failure."""
        return cls(id, success=False, message=message, code=code, details=details)

    def to_wire(self) -> "dict[str, Any]":
        """The object that travels.

        The code is repeated at the end of the text, because stock DSPex keeps nothing else of a failure.
        """
        wire: dict[str, Any] = {"id": self.id, "success": self.success}
        if self.success:
            wire["result"] = self.result
        else:
            wire["error"] = f"{self.message} [{self.code}]"
            wire["error_code"] = self.code
            if self.details:
                wire["details"] = self.details
        wire["timestamp"] = time.time()
        return wire

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Response) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.success:
            return f"Response.ok(id={self.id}, keys={list(self.result)})"
        return f"Response.error(id={self.id}, code={self.code!r}, message={self.message!r})"


def parse_request(payload: bytes) -> Request:
    """Read a request.

    Absent and null arguments are ``{}``, unknown keys are ignored, and of a key that occurs twice the last counts.

    Raises:
        MalformedMessageError: It is not a request; carries the request's id where one can be made out.
    """
    message = _parse_object(payload, "a request")
    id = _id_of(message, "request")
    command = message.get("command")
    if not isinstance(command, str):
        raise MalformedMessageError(
            f"Missing command: a request needs the name of one as a string, got {_kind(command)}", request_id=id
        )
    args = message.get("args")
    if args is not None and not isinstance(args, dict):
        raise MalformedMessageError(
            f"Invalid args: {command!r} needs an object (or null), got {_kind(args)}", request_id=id
        )
    return Request(id, command, args)


def parse_response(payload: bytes) -> Response:
    """Read a response, as strictly as the Elixir decoder does.

    Raises:
        MalformedMessageError: It is not a response; carries its id where one can be made out.
    """
    message = _parse_object(payload, "a response", trusted=True)
    id = _id_of(message, "response")
    success = message.get("success")
    if success is True:
        result = message.get("result")
        if not isinstance(result, dict):
            raise MalformedMessageError(f"a result must be an object, got {_kind(result)}", request_id=id)
        return Response.ok(id, result)
    if success is False:
        text = message.get("error")
        if not isinstance(text, str):
            raise MalformedMessageError(f"an error must be a string, got {_kind(text)}", request_id=id)
        code = message.get("error_code")
        if not isinstance(code, str):
            code = "unknown"
        details = message.get("details")
        return Response.error(id, text.removesuffix(f" [{code}]"), code, details if isinstance(details, dict) else None)
    raise MalformedMessageError(f"'success' must be true or false, got {_kind(success)}", request_id=id)


def encode_request(request: Request) -> bytes:
    """Write a request as JSON.

    Raises:
        LocalProtocolError: An argument has no JSON form.
    """
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
    return codec.dumps({"args": request.args, "command": request.command, "id": request.id, "timestamp": stamp})


def encode_response(response: Response) -> bytes:
    """Write a response as JSON.

    Raises:
        LocalProtocolError: A value in the result has no JSON form.
    """
    return codec.dumps(response.to_wire())


def _parse_object(payload: bytes, wanted: str, *, trusted: bool = False) -> "dict[str, Any]":
    try:
        message = codec.loads(payload, trusted=trusted)
    except ValueError as error:
        if not payload:
            reason = "the packet is empty"
        elif payload[0] == ERLANG_TERM:
            reason = "it begins with byte 131, an Erlang term; encode it as JSON before it is sent"
        else:
            reason = str(error)
        from dspex_testkit.protocol.recovery import recover_id

        raise MalformedMessageError(
            f"Invalid JSON: {wanted} must be one JSON object in UTF-8, but {reason}", request_id=recover_id(payload)
        ) from None
    if not isinstance(message, dict):
        raise MalformedMessageError(f"{wanted} must be a JSON object, got {_kind(message)}")
    return message


def _id_of(message: "dict[str, Any]", what: str) -> int:
    id = message.get("id")
    if isinstance(id, int) and not isinstance(id, bool):
        return id
    raise MalformedMessageError(f"Missing id: a {what} needs an integer id, got {_kind(id)}")


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a float"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"
