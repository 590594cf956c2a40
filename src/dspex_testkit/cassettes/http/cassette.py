"""`HTTPCassette`: what plays recorded traffic, keeps what is new, and refuses what is missing."""

import json
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from vcr.cassette import Cassette
from vcr.filters import decode_response
from vcr.request import Request as VCRRequest

from dspex_testkit.cassettes.age import StaleCassetteWarning, parse_age, too_old
from dspex_testkit.cassettes.cassette import CassetteOptions
from dspex_testkit.cassettes.document import FORMAT
from dspex_testkit.cassettes.drift import Drift
from dspex_testkit.cassettes.http.filters import HTTPFilters
from dspex_testkit.cassettes.http.native_stub import native_patches
from dspex_testkit.cassettes.http.verifying import Verification
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.misses import differences
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.playback import Playback
from dspex_testkit.cassettes.report import CassetteReport
from dspex_testkit.engines.lm_errors import as_lm_error
from dspex_testkit.errors import CassetteError, NoMatchingInteractionError


class HTTPCassette(Cassette):  # type: ignore[misc]  # vcrpy has no types
    """vcrpy's cassette, which also patches DSPy's own client, and answers a miss by a refusal.

    A miss that is raised within an HTTP client comes out as that client's connection error, which every layer above
    tries again and again. A refused request (status 400) comes out at once, with the whole message.
    """

    def __init__(self, *, mode: RecordMode, filters: HTTPFilters, settings: CassetteOptions, **options: Any) -> None:
        super().__init__(**options)
        self.custom_patches: Any = native_patches(self)
        self.mode = mode
        self.filters = filters
        self.settings = settings
        self.misses: list[NoMatchingInteractionError] = []
        self.refusals: list[CassetteError] = []
        """Why answers cannot be kept at all; nothing is written then."""
        self.format = FORMAT
        self._turn = threading.RLock()
        self._orders = count()
        self._asked: dict[int, str] = {}
        """What the provider has been asked and not answered yet, by the order of asking."""
        self._fresh: dict[int, tuple[VCRRequest, dict[str, Any]]] = {}
        self._not_kept: list[str] = []
        self._plays = 0
        self._stale: CassetteError | None = None
        self._stored: int | None = None
        self._verification: Verification | None = None

    def begin(self) -> None:
        """Say that the file is loaded; what is appended from now on comes from the provider."""
        self._stored = len(self)
        # A new file is of our format, and one of the first format stays one.
        self.format = getattr(self._persister, "format", None) or FORMAT
        keys = [self.filters.key(request, query=self._has_query(response)) for request, response in self.data]
        self._playback = Playback(keys, self.settings.rules.exhausted)
        if self.mode is RecordMode.VERIFY:
            self._verification = Verification(self.data, comparator=self.settings.comparator)
        self._stale = self._find_stale()

    @property
    def asked_live(self) -> int:
        """How many requests the provider has answered."""
        return len(self._fresh)

    @property
    def not_kept(self) -> tuple[str, ...]:
        """What was asked and is in no recording, with the reason."""
        waiting = [f"{what}: no whole answer came: it failed, or was given up" for what in self._asked.values()]
        return (*self._not_kept, *waiting)

    @property
    def unanswered(self) -> int:
        """How many requests have got no complete answer."""
        return len(self._asked)

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """Where the provider answers otherwise, in mode `verify`."""
        return () if self._verification is None else tuple(self._verification.drifts)

    @property
    def uncompared(self) -> tuple[str, ...]:
        """What the provider did not answer for want of a key or the like, in mode `verify`."""
        return () if self._verification is None else tuple(self._verification.uncompared)

    def report(self) -> CassetteReport:
        """What came of it so far."""
        stored = self._stored or 0
        asks_for_all = self.mode in (RecordMode.ALL, RecordMode.REWRITE)
        return CassetteReport(
            path=Path(str(self._path)),
            mode=self.mode,
            interactions=stored,
            played=self._plays,
            recorded=self.asked_live if self.mode.may_write else 0,
            unplayed=() if asks_for_all else tuple(sorted({*range(stored)} - self._playback.played)),
            misses=tuple(self.misses),
            drifts=self.drifts,
            stale=self._stale,
            committed=False,
            not_kept=self.not_kept if self.mode.may_write else (),
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
        return self._taken(request).live is None

    def play_response(self, request: VCRRequest) -> dict[str, Any]:
        """The recorded response, or the refusal of a request that nothing answers."""
        taken = self._taken(request)
        if taken.position is not None:
            with self._turn:
                self._plays += 1
            return dict(self.data[taken.position][1])
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
        """Keep a response of the provider; while the file is loaded, one of the file."""
        if self._stored is None:
            self.data.append((self.filters.loaded(request), response))
            return
        taken = self._taken(request, answered=True)
        if taken.live is not None:
            self.filters.learn(request)
        order = taken.live
        if taken.kept is None or order is None:
            with self._turn:
                self._asked.pop(-1 if order is None else order, None)
            return
        what = f"{taken.kept.method} {taken.kept.uri}"
        try:
            kept = self.filters.response(decoded(response))
        except CassetteError as error:
            self.refusals.append(error)
            self._forgo(order, f"{what}: {error.message}")
            return
        if kept is None:
            self._forgo(order, f"{what}: a filter wants nothing of it")
        elif kept["status"]["code"] >= 400 and not self.settings.record_errors:
            self._forgo(order, f"{what}: it failed with status {kept['status']['code']}, and record_errors is off")
        else:
            now = self.settings.now().astimezone(UTC).isoformat(timespec="seconds")
            if self.format > 1:
                kept["recording"] = {"recorded_at": now}
            with self._turn:
                self._asked.pop(order, None)
                # Filtered once more, for its key may be known only now, and a prompt may quote it.
                self._fresh[order] = (self.filters.request(request) or taken.kept, kept)
            if self._verification is not None:
                self._verification.meet(taken.expected, taken.kept, kept, lambda: self._miss(request))

    def to_keep(self) -> dict[str, Any]:
        """What the file is to hold, as vcrpy serializes it: in the order of asking, which is not that of answering."""
        kept = list(self.data)
        if self.mode is RecordMode.ALL:
            again = {key for request, _ in self._fresh.values() for key in self.filters.keys(request)}
            kept = [each for each in kept if self.filters.key(each[0], query=self._has_query(each[1])) not in again]
        kept = [(request, self.filters.kept(response)) for request, response in kept]
        kept += [self._fresh[order] for order in sorted(self._fresh)]
        return {"requests": [request for request, _ in kept], "responses": [response for _, response in kept]}

    def _save(self, force: bool = False) -> None:
        """Save nothing: vcrpy does so before it takes its patches off, and what a save raises would leave them on."""

    def _taken(self, request: VCRRequest, *, answered: bool = False) -> "_Taken":
        """What is done about a request; decided when it is first asked about, as clients ask several times."""
        known: _Taken | None = getattr(request, "dspex_testkit_taken", None)
        if known is not None:
            return known
        kept = self.filters.request(request)
        with self._turn:
            taken = self._take(kept)
            request.dspex_testkit_taken = taken
        return taken

    def _take(self, kept: VCRRequest | None) -> "_Taken":
        writes = self.mode.asks_always or not self.write_protected
        if kept is None:
            # It is never recorded, so it is asked live, where anything may be.
            return _Taken(None, None, next(self._orders) if writes else None, None)
        position = self._playback.take(*self.filters.keys(kept))
        if self.mode.asks_always or (position is None and writes):
            order = next(self._orders)
            self._asked[order] = f"{kept.method} {kept.uri}"
            return _Taken(kept, None, order, position)
        return _Taken(kept, position, None, None)

    def _has_query(self, response: Mapping[str, Any]) -> bool:
        """Whether a recording was made with its whole query; those of the first format were not."""
        return self.format > 1 and not (response.get("recording") or {}).get("without_query")

    def _forgo(self, order: int, line: str) -> None:
        with self._turn:
            self._asked.pop(order, None)
            self._not_kept.append(line)

    def _find_stale(self) -> CassetteError | None:
        """Whether the file is older than allowed.

        Raises:
            StaleCassetteError: It is, and that was to be an error.
        """
        if self.settings.max_age is None or self.mode not in (RecordMode.NONE, RecordMode.ONCE) or not self.data:
            return None
        dates = [(response.get("recording") or {}).get("recorded_at") for _, response in self.data]
        age = parse_age(self.settings.max_age)
        if None in dates:
            warnings.warn(
                f"{self._path} may be too old: it was recorded before dates were kept of HTTP traffic, so nobody knows "
                f"whether it is older than {age.days} days; record it again with record_mode='rewrite'",
                StaleCassetteWarning,
                stacklevel=6,
            )
        known = [Interaction({}, recorded_at=str(date)) for date in dates if date is not None]
        stale = too_old(known, age, path=Path(str(self._path)), now=self.settings.now())
        if stale is not None and self.settings.on_stale == "fail":
            raise stale
        if stale is not None:
            warnings.warn(stale.message, StaleCassetteWarning, stacklevel=6)
        return stale

    def _miss(self, request: VCRRequest) -> NoMatchingInteractionError:
        path = Path(str(self._path))
        if (asked := self.filters.request(request)) is None:
            return NoMatchingInteractionError(
                f"{request.method} {request.url.partition('?')[0]} hands out credentials, and such requests are never "
                "recorded; replay with a client that has a key or token (any text), so that it asks for none",
                details={"path": str(path)},
            )
        lines = [f"{path.name} has no recording that answers {asked.method} {asked.uri}"]
        scored = []
        for position, (recorded, response) in enumerate(self.data[: self._stored]):
            whole = self._has_query(response)
            fields = differences(
                self.filters.comparable(asked, query=whole), self.filters.comparable(recorded, query=whole)
            )
            scored.append((len(fields), position, fields))
        scored.sort()
        if scored and not scored[0][0]:
            lines.append(
                "  Its recordings were all played; on_exhausted='last' or 'cycle' plays them again, and so does "
                "allow_playback_repeats=True."
            )
        elif scored:
            lines.append(f"  Nearest is interaction {scored[0][1]}, which differs in:")
            lines += [f"    {field}" for field in scored[0][2][:8]]
        lines.append(f"  {path}")
        lines.append(f"  To record it: {self.settings.rerecord or 'open it with record_mode=new_episodes'}")
        return NoMatchingInteractionError("\n".join(lines), details={"path": str(path), "uri": asked.uri})


@dataclass(frozen=True, slots=True)
class _Taken:
    """What is done about one request."""

    kept: VCRRequest | None
    """As it is kept; None where it never is."""
    position: int | None
    """The recording that answers."""
    live: int | None
    """Where the provider is asked: the place of its answer in the order of asking."""
    expected: int | None
    """Where the answer is compared: with which recording."""


def decoded(response: dict[str, Any]) -> dict[str, Any]:
    """A response without its compression, as far as anything installed can take it off."""
    response = decode_response(response)
    encodings = [value for name, value in response["headers"].items() if name.lower() == "content-encoding"]
    if [each.lower() for each in (encodings[0] if encodings else [])] != ["zstd"]:
        return response
    body = without_zstd(response["body"]["string"])
    if body is None:
        return response
    headers = {name: value for name, value in response["headers"].items() if name.lower() != "content-encoding"}
    return {**response, "headers": headers, "body": {"string": body}}


def without_zstd(body: bytes) -> bytes | None:
    """A decompressed body; None where no package can do it. Clients take whichever of these they find."""
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ModuleNotFoundError):
            return bytes(import_module(name).decompress(body))
    with suppress(ModuleNotFoundError):
        return bytes(import_module("zstandard").ZstdDecompressor().decompressobj().decompress(body))
    return None
