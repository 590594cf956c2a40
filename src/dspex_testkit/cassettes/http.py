"""HTTP cassettes: the providers' own traffic, recorded and replayed by vcrpy for both of DSPy's clients.

For what the LM seam does not carry: embeddings, official SDKs, options that only one client knows. A cassette of this
level is global to the process while it is open, as all of vcrpy's are.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vcr
from vcr.cassette import Cassette
from vcr.persisters.filesystem import CassetteNotFoundError as VCRNotFoundError
from vcr.record_mode import RecordMode as VCRMode
from vcr.request import Request as VCRRequest
from vcr.serialize import deserialize, serialize

from dspex_testkit.cassettes.api import cassette_options
from dspex_testkit.cassettes.document import level_of, parse_record
from dspex_testkit.cassettes.drift import Comparator, Drift, refuse_drift
from dspex_testkit.cassettes.files import RecorderLock, read_bytes, refuse_read_only
from dspex_testkit.cassettes.http_filters import CANONICAL_HOST, HTTPFilters, ReadableYAML, refuse_nonsense
from dspex_testkit.cassettes.http_verifying import Verification
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.native_stub import native_patches
from dspex_testkit.cassettes.nearest import differences
from dspex_testkit.cassettes.report import CassetteReport
from dspex_testkit.cassettes.saving import save_traffic
from dspex_testkit.errors import (
    CassetteFormatError,
    CassetteNotFoundError,
    NoMatchingInteractionError,
    NothingRecordedError,
)
from dspex_testkit.mock_lm.failures import as_lm_error

_FOR_VCR = {
    RecordMode.NONE: VCRMode.NONE,
    RecordMode.ONCE: VCRMode.ONCE,
    RecordMode.NEW_EPISODES: VCRMode.NEW_EPISODES,
    RecordMode.ALL: VCRMode.ALL,
    RecordMode.REWRITE: VCRMode.ALL,
    RecordMode.VERIFY: VCRMode.ALL,
}


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

    def _miss(self, request: VCRRequest) -> NoMatchingInteractionError:
        asked = self.filters.request(request)
        path = Path(str(self._path))
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


class _Drawer:
    """A vcrpy persister that reads at once and writes when it is told to."""

    def __init__(self, mode: RecordMode) -> None:
        self.mode = mode
        self.pending: tuple[Path, str] | None = None

    def load_cassette(self, path: str, serializer: ReadableYAML) -> Any:
        file = Path(path)
        if self.mode is RecordMode.REWRITE or (self.mode.may_write and not file.exists()):
            raise VCRNotFoundError
        text = read_bytes(file)
        record = parse_record(text, file)
        if level_of(record) == "lm":
            raise CassetteFormatError(f"{file} records LM calls, not HTTP traffic; open it with level='lm'")
        for position, item in enumerate(record["interactions"]):
            refuse_nonsense(item, f"{file}: interactions[{position}]")
        try:
            return deserialize(text.decode(), serializer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CassetteFormatError(f"{file} has an interaction that cannot be read: {error!r}") from error

    def save_cassette(self, path: str, cassette_dict: dict[str, Any], serializer: ReadableYAML) -> None:
        self.pending = (Path(path), serialize(cassette_dict, serializer))


@contextmanager
def http_cassette(
    path: str | os.PathLike[str],
    *,
    record_mode: str = "none",
    canonical_host: str | None = CANONICAL_HOST,
    allow_playback_repeats: bool = False,
    **options: Any,
) -> Iterator[HTTPCassette]:
    """Record or replay the HTTP traffic of everything in this process; the file is written when the block succeeds.

    Args:
        path: The file.
        record_mode: One of none, once, new_episodes, all, rewrite, verify.
        canonical_host: Replaces every host; None keeps them.
        allow_playback_repeats: Play recordings more than once.
        options: As of `cassette_options`, as far as they concern requests, secrets and drift.

    Raises:
        CassetteError: It cannot be opened or written, a miss was swallowed, or nothing was recorded.
        CassetteDriftError: In mode `verify`, the provider answers otherwise.
        UsageError: The mode or an option cannot be used.
    """
    file, mode = Path(path).resolve(), RecordMode.of(record_mode)
    settings = cassette_options(**options)
    filters = HTTPFilters(settings.redactor, settings.rules, canonical_host)
    existed = file.exists()
    if not existed and mode in (RecordMode.NONE, RecordMode.VERIFY):
        raise CassetteNotFoundError(f"There is no cassette {file}; record it with record_mode='once'")
    recorder = None
    if mode.may_write and not (mode is RecordMode.ONCE and existed):
        refuse_read_only(file)
        recorder = RecorderLock(file)
    drawer = _Drawer(mode)
    player = vcr.VCR(
        match_on=("method", "path", "query", "json_body"),
        before_record_request=filters.request,
        before_record_response=filters.response,
        decode_compressed_response=True,
    )
    player.register_matcher("json_body", filters.same_body)
    merged = player.get_merged_config(path=os.fspath(file), record_mode=_FOR_VCR[mode], persister=drawer)
    merged |= {
        "serializer": ReadableYAML(file),
        "allow_playback_repeats": allow_playback_repeats,
        "record_on_exception": False,
        "mode": mode,
        "filters": filters,
        "rerecord": settings.rerecord,
    }
    merged.pop("path_transformer", None)
    try:
        with HTTPCassette.use(**merged) as cassette:
            cassette.begin(settings.comparator)
            try:
                yield cassette
            except Exception as error:
                if cassette.misses and not isinstance(error, NoMatchingInteractionError):
                    # What came out of the client is the refusal in that client's words.
                    raise cassette.misses[0] from error
                raise
        if cassette.misses:
            raise cassette.misses[0]
        if mode is RecordMode.VERIFY:
            asked = bool(cassette.asked_live)
            refuse_drift(cassette.drifts, least=settings.fail_on, path=file, asked=asked)
        if recorder is not None and not cassette.asked_live and (mode.asks_always or not existed):
            raise NothingRecordedError(f"{file} was to be recorded, and nothing was sent", details={"path": str(file)})
        if drawer.pending is not None and recorder is not None:
            save_traffic(*drawer.pending, secrets=settings.redactor.secrets)
    finally:
        if recorder is not None:
            recorder.release()
