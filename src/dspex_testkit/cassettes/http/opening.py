"""HTTP cassettes: the providers' own traffic, recorded and replayed by vcrpy for both of DSPy's clients.

For what the LM seam does not carry: embeddings, official SDKs, options that only one client knows. A cassette of this
level is global to the process while it is open, as all of vcrpy's are.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import vcr
from vcr.persisters.filesystem import CassetteNotFoundError as VCRNotFoundError
from vcr.record_mode import RecordMode as VCRMode
from vcr.serialize import deserialize, serialize

from dspex_testkit.cassettes.api import cassette_options
from dspex_testkit.cassettes.document import level_of, parse_record
from dspex_testkit.cassettes.drift import refuse_drift
from dspex_testkit.cassettes.files import RecorderLock, read_bytes, refuse_read_only
from dspex_testkit.cassettes.http.cassette import HTTPCassette
from dspex_testkit.cassettes.http_filters import CANONICAL_HOST, HTTPFilters, ReadableYAML, refuse_nonsense
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.saving import save_traffic
from dspex_testkit.errors import (
    CassetteFormatError,
    CassetteNotFoundError,
    NoMatchingInteractionError,
    NothingRecordedError,
)

_FOR_VCR = {
    RecordMode.NONE: VCRMode.NONE,
    RecordMode.ONCE: VCRMode.ONCE,
    RecordMode.NEW_EPISODES: VCRMode.NEW_EPISODES,
    RecordMode.ALL: VCRMode.ALL,
    RecordMode.REWRITE: VCRMode.ALL,
    RecordMode.VERIFY: VCRMode.ALL,
}


class _Drawer:
    """A vcrpy persister that reads. What is kept is written by `http_cassette`, when vcrpy's patches are gone."""

    def __init__(self, mode: RecordMode) -> None:
        self.mode = mode

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
    player = vcr.VCR(
        match_on=("method", "kept_path", "query", "json_body"),
        before_record_request=filters.request,
        before_record_response=filters.response,
        decode_compressed_response=True,
    )
    player.register_matcher("kept_path", filters.same_path)
    player.register_matcher("json_body", filters.same_body)
    merged = player.get_merged_config(path=os.fspath(file), record_mode=_FOR_VCR[mode], persister=_Drawer(mode))
    merged |= {
        "serializer": ReadableYAML(file),
        "allow_playback_repeats": allow_playback_repeats,
        "record_on_exception": False,
        "mode": mode,
        "filters": filters,
        "rerecord": settings.rerecord,
    }
    merged.pop("path_transformer", None)
    with ExitStack() as clean_up:
        records = mode.may_write and not (mode is RecordMode.ONCE and existed)
        if records:
            refuse_read_only(file)
            clean_up.callback(RecorderLock(file).release)
        with HTTPCassette.use(**merged) as cassette:
            cassette.begin(settings.comparator)
            try:
                yield cassette
            except Exception as error:
                if cassette.misses and not isinstance(error, NoMatchingInteractionError):
                    # What came out of the client is the refusal in that client's words.
                    raise cassette.misses[0] from error
                raise
        # From here on the clients are as they were before, so whatever fails now opens no network.
        if cassette.misses:
            raise cassette.misses[0]
        if mode is RecordMode.VERIFY:
            asked = bool(cassette.asked_live)
            refuse_drift(cassette.drifts, least=settings.fail_on, path=file, asked=asked)
        if not records:
            return
        if not cassette.asked_live and (mode.asks_always or not existed):
            raise NothingRecordedError(f"{file} was to be recorded, and nothing was sent", details={"path": str(file)})
        if cassette.asked_live:
            text = serialize(cassette.to_keep(), ReadableYAML(file))
            save_traffic(file, text, secrets=settings.redactor.known)
