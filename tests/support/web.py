"""HTTP without any provider's client, to look at what is on the wire."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen


@dataclass(frozen=True)
class Reply:
    """What a server sent."""

    status: int
    headers: Message | Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as data."""
        return json.loads(self.text)

    @property
    def events(self) -> list[Any]:
        """The data of a stream of server-sent events, without its terminator."""
        lines = [line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line != "[DONE]"]


def ask(url: str, body: Any = None, *, method: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """One HTTP request without any provider's client."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urlopen(request, timeout=60) as response:
            return Reply(response.status, response.headers, response.read().decode())
    except HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read().decode())
