"""`HTTPCassette`: what plays recorded traffic, keeps what is new, and refuses what is missing."""

import json
import threading
from pathlib import Path
from typing import Any

from vcr.cassette import Cassette
from vcr.request import Request as VCRRequest

from dspex_testkit.cassettes.drift import Comparator, Drift
from dspex_testkit.cassettes.http.native_stub import native_patches
from dspex_testkit.cassettes.http.verifying import Verification
from dspex_testkit.cassettes.http_filters import HTTPFilters
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.nearest import differences
from dspex_testkit.cassettes.report import CassetteReport
from dspex_testkit.engines.lm_errors import as_lm_error
from dspex_testkit.errors import NoMatchingInteractionError


class HTTPCassette(Cassette):  # type: ignore[misc]  # vcrpy has no types
    """vcrpy's cassette, which also patches DSPy's own client, and answers a miss by a refusal.

    A miss that is raised within an HTTP client comes out as that client's connection error, which every layer above
    tries again and again. A refused request (status 400) comes out at once, with the whole message.
    """

    def __init__(self, *, mode: RecordMode, filters: HTTPFilters, rerecord: str | None, **options: Any) -> None:
        super().__init__(**options)
        self.custom_patches: Any = native_patches(self)
        self.mode = mode
        self.filters = filters
        self.rerecord = rerecord
        self.misses: list[NoMatchingInteractionError] = []
        self._turn = threading.RLock()
        self._stored = 0
        self._verification: Verification | None = None

    def begin(self, comparator: Comparator) -> None:
        """Say that the file is loaded; what is appended from now on comes from the provider."""
        self._stored = len(self)
        if self.mode is RecordMode.VERIFY:
            self._verification = Verification(
                self.data, same=self.filters.same, comparator=comparator, repeats=self.allow_playback_repeats
            )

    @property
    def asked_live(self) -> int:
        """How many requests the provider has answered."""
        return len(self) - self._stored

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """Where the provider answers otherwise, in mode `verify`."""
        return () if self._verification is None else tuple(self._verification.drifts)

    def report(self) -> CassetteReport:
        """What came of it so far."""
        if self._verification is not None:
            used = self._verification.compared
        else:
            used = {position for position in range(self._stored) if self.play_counts[position]}
        asks_for_all = self.mode in (RecordMode.ALL, RecordMode.REWRITE)
        return CassetteReport(
            path=Path(str(self._path)),
            mode=self.mode,
            interactions=self._stored,
            played=self.play_count,
            recorded=self.asked_live if self.mode.may_write else 0,
            unplayed=() if asks_for_all else tuple(sorted({*range(self._stored)} - used)),
            misses=tuple(self.misses),
            drifts=self.drifts,
            stale=None,
            committed=False,
        )

    def answer(self, request: VCRRequest) -> dict[str, Any] | None:
        """The recorded response; None where the provider is to be asked. For clients that are ours to patch.

        Raises:
            NoMatchingInteractionError: Neither is possible.
        """
        if not self.can_play_response_for(request):
            return None
        response = self.play_response(request)
        if response.get("miss") is not None:
            raise as_lm_error(response["miss"], model="")
        return dict(response)

    def can_play_response_for(self, request: VCRRequest) -> bool:
        """Whether to answer without asking the provider: a recording is there, or must be."""
        with self._turn:
            return bool(super().can_play_response_for(request)) or self.write_protected

    def play_response(self, request: VCRRequest) -> dict[str, Any]:
        """The recorded response, or the refusal of a request that nothing answers."""
        with self._turn:
            if super().can_play_response_for(request):
                return dict(super().play_response(request))
        miss = self._miss(request)
        self.misses.append(miss)
        error = {"message": miss.message, "type": "invalid_request_error", "code": "no_matching_interaction"}
        body = {"type": "error", "error": error, "message": miss.message}
        return {
            "status": {"code": 400, "message": "Bad Request"},
            "headers": {"content-type": ["application/json"]},
            "body": {"string": json.dumps(body).encode()},
            "miss": miss,
        }

    def append(self, request: VCRRequest, response: dict[str, Any]) -> None:
        """Keep a response of the provider."""
        with self._turn:
            super().append(request, response)
            if self._verification is not None:
                self._verification.meet(*self.data[-1])

    def to_keep(self) -> dict[str, Any]:
        """What the file is to hold, as vcrpy serializes it."""
        kept = self._rerecorded_interactions() if self.mode is RecordMode.ALL else self.data
        return {"requests": [request for request, _ in kept], "responses": [response for _, response in kept]}

    def _save(self, force: bool = False) -> None:
        """Save nothing: vcrpy does so before it takes its patches off, and what a save raises would leave them on."""

    def _miss(self, request: VCRRequest) -> NoMatchingInteractionError:
        path = Path(str(self._path))
        if (asked := self.filters.request(request)) is None:
            return NoMatchingInteractionError(
                f"{request.method} {request.url.partition('?')[0]} hands out credentials, and such requests are never "
                "recorded; replay with a client that has a key or token (any text), so that it asks for none",
                details={"path": str(path)},
            )
        lines = [f"{path.name} has no recording that answers {asked.method} {asked.uri}"]
        body = self.filters.comparable(asked.body)
        scored = []
        for position, recorded in enumerate(self.requests):
            other = self.filters.comparable(recorded.body)
            if isinstance(body, dict) and isinstance(other, dict):
                fields = differences(body, other)
            else:
                fields = [] if body == other else ["the body"]
            if recorded.uri != asked.uri:
                fields = [f"uri: asked {asked.uri}, recorded {recorded.uri}", *fields]
            scored.append((len(fields), position, fields))
        scored.sort()
        if scored and not scored[0][0]:
            lines.append("  Its recordings were all played; allow_playback_repeats=True plays them again.")
        elif scored:
            lines.append(f"  Nearest is interaction {scored[0][1]}, which differs in:")
            lines += [f"    {field}" for field in scored[0][2][:8]]
        lines.append(f"  {path}")
        lines.append(f"  To record it: {self.rerecord or 'open it with record_mode=new_episodes'}")
        return NoMatchingInteractionError("\n".join(lines), details={"path": str(path), "uri": asked.uri})
