"""What a request's body asks, understood by the format of its route."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dspex_testkit.limits import json_kind
from dspex_testkit.protocol import codec
from dspex_testkit.simulator.prompts import Asked
from dspex_testkit.simulator.routes import Route
from dspex_testkit.wires.failures import Refused, refuse

_logger = logging.getLogger("dspex_testkit.simulator")

NOT_UNDERSTOOD: Final = "The body cannot be understood: a value in it has another type than this API has there."
_MAX_REMEMBERED: Final = 512
_MAX_REMEMBERED_BYTES: Final = 32_768


@dataclass(frozen=True, slots=True)
class Read:
    """A body, understood."""

    body: Mapping[str, Any]
    asked: Asked | None = None
    """None for embeddings, and for what cannot be understood."""
    refusal: Refused | None = None


class Reading:
    """Reads bodies, and remembers the last ones: suites, retries and loops ask the same things again and again."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Read] = {}

    def read(self, route: Route, path: str, payload: bytes) -> Read:
        """What a body asks.

        Raises:
            Refused: It is no JSON object.
        """
        known = self._known.get((path, payload))
        if known is not None:
            return known
        body = _json(payload)
        if route.embeddings is not None:
            return Read(body)
        try:
            read = Read(body, Asked(route.wire.read(body, route.path)))
        except Refused as refusal:
            return Read(body, refusal=refusal)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Something stands where no wire looked for it: a client's mistake, as a provider would see it.
            _logger.debug("a body cannot be understood", exc_info=error)
            return Read(body, refusal=refuse("invalid_request", NOT_UNDERSTOOD))
        if len(payload) <= _MAX_REMEMBERED_BYTES:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[path, payload] = read
        return read


def _json(payload: bytes) -> Mapping[str, Any]:
    try:
        body = codec.loads(payload)
    except ValueError as error:
        raise refuse("invalid_request", f"The body is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise refuse("invalid_request", f"The body should be a JSON object, not {json_kind(body)}.")
    return body
