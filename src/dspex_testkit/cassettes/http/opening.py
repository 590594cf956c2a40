"""HTTP cassettes: the providers' own traffic, recorded and replayed by vcrpy for both of DSPy's clients.

For what the LM seam does not carry: embeddings, official SDKs, options that only one client knows. A cassette of this
level is global to the process while it is open, as all of vcrpy's are.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Unpack

import vcr
from vcr.persisters.filesystem import CassetteNotFoundError as VCRNotFoundError
from vcr.record_mode import RecordMode as VCRMode
from vcr.serialize import deserialize, serialize

from dspex_testkit.cassettes import yaml_text
from dspex_testkit.cassettes.age import parse_age
from dspex_testkit.cassettes.api import HTTPOptions, http_options
from dspex_testkit.cassettes.cassette import CassetteOptions, IncompleteRecordingWarning
from dspex_testkit.cassettes.document import format_of, level_of, parse_record, refuse_nonsense
from dspex_testkit.cassettes.drift import refuse_drift
from dspex_testkit.cassettes.files import RecorderLock, read_bytes, refuse_read_only
from dspex_testkit.cassettes.http.cassette import HTTPCassette
from dspex_testkit.cassettes.http.filters import CANONICAL_HOST, HTTP_FIELDS, HTTPFilters, ReadableYAML
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.saving import save_traffic
from dspex_testkit.cassettes.unchanged import with_unchanged_traffic
from dspex_testkit.errors import (
    CassetteError,
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
        self.format: int | None = None
        """Of the file that was read."""

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
        # What another recorder of vcrpy's has made is of the first format too.
        self.format = format_of(record)
        try:
            return deserialize(text.decode(), serializer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CassetteFormatError(f"{file} has an interaction that cannot be read: {error!r}") from error


@contextmanager
def http_cassette(
    path: str | os.PathLike[str], *, record_mode: str = "none", **options: Unpack[HTTPOptions]
) -> Iterator[HTTPCassette]:
    """Record or replay the HTTP traffic of everything in this process; the file is written when the block succeeds.

    Args:
        path: The file.
        record_mode: One of none, once, new_episodes, all, rewrite, verify.
        options: As of `HTTPOptions`.

    Raises:
        CassetteError: It cannot be opened or written, a miss was swallowed, or nothing was recorded.
        CassetteDriftError: In mode `verify`, the provider answers otherwise.
        UsageError: The mode or an option cannot be used.
    """
    file, mode = Path(path).resolve(), RecordMode.of(record_mode)
    settings = http_options(**options)
    filters = HTTPFilters(
        settings.redactor,
        settings.rules,
        options.get("canonical_host", CANONICAL_HOST),
        match_on=options.get("match_on", HTTP_FIELDS),
        keep_headers=options.get("keep_headers", ()),
        filter_request=settings.filter_request,
        filter_response=settings.filter_response,
    )
    existed = file.exists()
    if not existed and mode in (RecordMode.NONE, RecordMode.VERIFY):
        raise CassetteNotFoundError(f"There is no cassette {file}; record it with record_mode='once'")
    drawer = _Drawer(mode)
    merged = vcr.VCR().get_merged_config(path=os.fspath(file), record_mode=_FOR_VCR[mode], persister=drawer)
    merged |= {
        "serializer": ReadableYAML(file),
        "record_on_exception": False,
        "mode": mode,
        "filters": filters,
        "settings": settings,
    }
    merged.pop("path_transformer", None)
    with ExitStack() as clean_up:
        records = mode.may_write and not (mode is RecordMode.ONCE and existed)
        if records:
            refuse_read_only(file)
            clean_up.callback(RecorderLock(file).release)
        with HTTPCassette.use(**merged) as cassette:
            cassette.begin()
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
        if cassette.refusals:
            raise cassette.refusals[0]
        if mode is RecordMode.VERIFY:
            asked = bool(cassette.asked_live)
            refuse_drift(
                cassette.drifts, least=settings.fail_on, path=file, asked=asked, uncompared=cassette.uncompared
            )
        if not records:
            return
        if not cassette.asked_live and (mode.asks_always or not existed):
            lost = "".join(f"\n  not kept: {line}" for line in cassette.not_kept)
            what = f"nothing could be kept:{lost}" if lost else "nothing was sent"
            raise NothingRecordedError(f"{file} was to be recorded, and {what}", details={"path": str(file)})
        if cassette.asked_live:
            text = _with_unchanged(
                serialize(cassette.to_keep(), ReadableYAML(file, cassette.format)), file, mode, settings
            )
            if text is not None:
                save_traffic(file, text, secrets=settings.redactor.known)
        if cassette.unanswered:
            lines = "".join(f"\n  {line}" for line in cassette.not_kept)
            warnings.warn(
                f"{file}: {cassette.asked_live} answers were recorded, and not kept were:{lines}",
                IncompleteRecordingWarning,
                stacklevel=3,
            )


def _with_unchanged(text: str, file: Path, mode: RecordMode, settings: CassetteOptions) -> str | None:
    """What is to be written, with the old form of what says the same; None where the file may stay as it is."""
    if not mode.asks_always or not file.exists():
        return text
    try:
        old = parse_record(read_bytes(file), file)
    except CassetteError:
        return text  # damaged, and to be replaced
    if level_of(old) == "lm":
        return text
    new = parse_record(text.encode(), file)
    max_age = None if settings.max_age is None else parse_age(settings.max_age)
    merged = with_unchanged_traffic(new["interactions"], old["interactions"], max_age=max_age, now=settings.now())
    record = {**new, "interactions": merged}
    return None if record == old else yaml_text.dump(record)
