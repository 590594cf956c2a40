"""What of an interaction may be kept: no secret, not who asked, and only what the user's filters leave."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.local_paths import with_local_paths_cut, without_local_paths
from dspex_testkit.redaction import LOOKS_OF_FORMAT_1, Redactor, count_redactions

Filter = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Takes a request or response as JSON and returns what may be kept of it; None: keep nothing of the interaction."""


def without_secrets(interaction: Interaction, redactor: Redactor) -> Interaction:
    """The interaction as the redactor leaves it.

    A secret may lie across chunks of a stream. Where chunks no longer say what the response says, because it is spelt
    otherwise there, they are left out, and the response is streamed anew.
    """
    request, error = redactor.json(interaction.request), redactor.json(interaction.error)
    response, chunks = redactor.json(interaction.response), interaction.chunks
    if chunks is not None:
        chunks = tuple(redactor.events(chunks))
        if response is not None and _cuts(response, interaction.response) != _cuts(chunks, interaction.chunks):
            chunks = None
    return replace(interaction, request=request, response=response, error=error, chunks=chunks)


def _cuts(clean: Any, original: Any) -> int:
    if clean == original:
        return 0
    return count_redactions(clean).total() - count_redactions(original).total()


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Decides what is kept of requests and answers."""

    redactor: Redactor
    filter_request: Filter | None = None
    filter_response: Filter | None = None

    def asked(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request in the form in which it is kept and compared."""
        return self._asked(request, self.redactor)

    def asked_in_format_1(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request in the form in which cassettes of the first format have it."""
        return self._asked(request, self.redactor.with_looks(LOOKS_OF_FORMAT_1))

    def _asked(self, request: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
        clean = _anonymous(redactor.json(request) if redactor.concerns(request) else request)
        if self.filter_request is None:
            return clean
        return self.filter_request(clean) or clean

    def kept(self, interaction: Interaction) -> Interaction | None:
        """What is kept of an interaction; None where a filter wants nothing of it to be kept."""
        clean = _without_local_paths(without_secrets(interaction, self.redactor))
        request: dict[str, Any] | None = _anonymous(clean.request)
        if self.filter_request is not None and request is not None:
            request = self.filter_request(request)
        response, chunks = clean.response, clean.chunks
        if self.filter_response is not None and response is not None:
            response = self.filter_response(response)
            if response is None:
                return None
            # Not `clean.response`, which a filter may have changed in place.
            chunks = chunks if response == interaction.response else None
        elif self.filter_response is not None:
            # The filter takes whole responses, and there is none: what it would have cut may stand in the pieces.
            chunks = None
        return None if request is None else replace(clean, request=_tidy(request), response=response, chunks=chunks)


def _without_local_paths(interaction: Interaction) -> Interaction:
    chunks, live_model = interaction.chunks, interaction.live_model
    return replace(
        interaction,
        response=with_local_paths_cut(interaction.response),
        chunks=None
        if chunks is None
        else tuple({**chunk, "event": with_local_paths_cut(chunk["event"])} for chunk in chunks),
        live_model=None if live_model is None else without_local_paths(live_model),
    )


def _anonymous(request: dict[str, Any]) -> dict[str, Any]:
    config = request.get("config") or {}
    if not config.get("user_id"):
        return request
    return {**request, "config": {key: value for key, value in config.items() if key != "user_id"}}


def _tidy(value: Any) -> Any:
    """Texts without blanks at line ends, which matching ignores anyway and which YAML cannot write as lines."""
    if isinstance(value, str):
        return "\n".join(line.rstrip() for line in value.split("\n")) if "\n" in value else value
    if isinstance(value, dict):
        return {key: _tidy(item) for key, item in value.items()}
    return [_tidy(item) for item in value] if isinstance(value, list) else value
