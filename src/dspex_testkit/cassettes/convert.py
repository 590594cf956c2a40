"""LM cassettes made of plain vcrpy cassettes: recorded traffic of OpenAI, Anthropic and Gemini, whoever recorded it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dspy

from dspex_testkit.cassettes.cleaning import without_secrets
from dspex_testkit.cassettes.document import Document, RecordedLM, level_of, read_record
from dspex_testkit.cassettes.library import cassette_files
from dspex_testkit.cassettes.lm import describe
from dspex_testkit.cassettes.names import file_name
from dspex_testkit.cassettes.saving import save
from dspex_testkit.cassettes.traffic import Exchange, Reading, answered_later, read_exchange
from dspex_testkit.errors import CassetteError, CassetteFormatError, UsageError
from dspex_testkit.redaction import Redactor

_BESIDE = ".lm.yaml"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a file."""

    document: Document
    skipped: tuple[str, ...]
    """What was left out, and why; one line each."""
    positions: tuple[int, ...]
    """Where each of the document's interactions stood in the file."""


def convert(path: Path, redactor: Redactor | None = None) -> Conversion:
    """Read a vcrpy cassette of HTTP traffic, in YAML or JSON, as LM calls.

    Raises:
        CassetteFormatError: It is no cassette of HTTP traffic, or has no call that can be read.
    """
    record = read_record(path)
    if level_of(record) == "lm":
        raise CassetteFormatError(f"{path} holds LM calls already", details={"path": str(path)})
    readings: dict[int, Reading] = {}
    skipped: list[str] = []
    exchanges: dict[int, Exchange] = {}

    def skip(position: int, error: CassetteFormatError) -> None:
        skipped.append(f"{path}: interactions[{position}]: {error.message}")

    for position, item in enumerate(record["interactions"]):
        try:
            exchanges[position] = Exchange.from_record(item)
        except CassetteFormatError as error:
            skip(position, error)
    for position, exchange in answered_later(exchanges).items():
        try:
            readings[position] = read_exchange(exchange)
        except CassetteFormatError as error:
            skip(position, error)
    if not readings:
        reasons = "; ".join(skipped) or "it is empty"
        raise CassetteFormatError(
            f"{path} has no call of OpenAI, Anthropic or Gemini that can be read: {reasons}",
            details={"path": str(path), "skipped": skipped},
        )
    clean = redactor or Redactor()
    found = [(position, each) for position, reading in readings.items() for each in reading.interactions]
    lms = recorded_lms(list(readings.values()))
    return Conversion(
        Document(tuple(without_secrets(each, clean) for _, each in found), tuple(lms)),
        tuple(skipped),
        tuple(position for position, _ in found),
    )


@dataclass(frozen=True, slots=True)
class Converted:
    """What was done about a file."""

    source: Path
    target: Path
    interactions: int = 0
    left_out: tuple[str, ...] = ()
    """What is not in the new file, and why; one line each."""
    failure: str | None = None
    """Why nothing was written."""


def convert_files(
    paths: Sequence[Path],
    redactor: Redactor,
    *,
    output: Path | None = None,
    in_place: bool = False,
    force: bool = False,
) -> Iterator[Converted]:
    """Write LM cassettes of files, and of all files in folders.

    Args:
        paths: Where the traffic lies. In folders, cassettes of LM calls and other files are passed over.
        redactor: Knows what must not stand in them.
        output: The file, or for a folder the folder, to write; beside each file as ``NAME.lm.yaml`` if None.
        in_place: Write where the plugin looks: under the name of the file itself, which then is gone.
        force: Overwrite what is there, and in place also what cannot be converted whole.

    Raises:
        UsageError: A file to be written is there already; then nothing is written at all.
    """
    if output is not None and in_place:
        raise UsageError("Convert in place, or to another place: --in-place and --output exclude each other")
    if output is not None and len(paths) > 1:
        raise UsageError(f"{output} is one place, and {len(paths)} are to be converted; name one file or folder")
    jobs = [job for path in paths for job in _jobs(path, output, in_place=in_place)]
    if not jobs:
        raise UsageError(f"There is no cassette of HTTP traffic in {', '.join(map(str, paths))}")
    targets: dict[Path, Path] = {}
    for source, target in jobs:
        if target in targets:
            raise UsageError(f"{targets[target]} and {source} would both become {target}; convert one of them with -o")
        targets[target] = source
        if target.exists() and target != source and not force:
            raise UsageError(f"{target} exists; overwrite it with --force, or name another with -o")
    for source, target in jobs:
        yield _converted(source, target, redactor, in_place=in_place, force=force)


def _jobs(path: Path, output: Path | None, *, in_place: bool) -> Iterator[tuple[Path, Path]]:
    if not path.exists():
        raise UsageError(f"There is no {path}")
    if not path.is_dir():
        beside = path.with_name(file_name(path.stem)) if in_place else path.with_suffix(_BESIDE)
        yield path, output or beside
        return
    for source in cassette_files([path], json=True):
        stays = output is None and not in_place
        if not _is_traffic(source) or (stays and source.name.endswith(_BESIDE)):
            continue
        if output is not None:
            yield source, output / source.relative_to(path).with_name(file_name(source.stem))
        else:
            yield from _jobs(source, None, in_place=in_place)


def _is_traffic(path: Path) -> bool:
    try:
        return level_of(read_record(path)) != "lm"
    except CassetteFormatError:
        # A folder may hold other JSON; a cassette that is damaged is named when it is converted.
        return path.suffix != ".json"


def _converted(source: Path, target: Path, redactor: Redactor, *, in_place: bool, force: bool) -> Converted:
    try:
        conversion = convert(source, redactor)
        if in_place and conversion.skipped and not force:
            lines = "".join(f"\n  {line}" for line in conversion.skipped)
            return Converted(
                source, target, failure=f"{source} stays as it is, because this would be lost (--force):{lines}"
            )
        save(target, conversion.document, secrets=redactor.known)
        if in_place and target != source:
            source.unlink()
    except CassetteError as error:
        return Converted(source, target, failure=error.message)
    return Converted(source, target, len(conversion.document.interactions), conversion.skipped)


def recorded_lms(readings: Sequence[Reading]) -> Iterable[RecordedLM]:
    """The LMs as DSPy would believe them to be, with the parameters that all their calls share."""
    by_model: dict[str, list[Reading]] = {}
    for reading in readings:
        by_model.setdefault(reading.model, []).append(reading)
    for model, all_of_it in by_model.items():
        lm = dspy.LM(model, model_type=all_of_it[0].model_type, cache=False)
        yield replace(describe(lm), params=_shared([reading.params for reading in all_of_it]))


def _shared(params: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What an LM was most likely made with, and not told anew for each call."""
    return {name: value for name, value in params[0].items() if all(each.get(name) == value for each in params)}
