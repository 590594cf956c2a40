"""LM cassettes made of plain vcrpy cassettes: recorded traffic of OpenAI, Anthropic and Gemini, whoever recorded it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dspy

from dspex_testkit.cassettes.cleaning import without_secrets
from dspex_testkit.cassettes.document import Document, RecordedLM, level_of, read_record
from dspex_testkit.cassettes.lm import describe
from dspex_testkit.cassettes.traffic import Exchange, Reading, answered_later, read_exchange
from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.redaction import Redactor


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
    return Conversion(
        Document(tuple(without_secrets(each, clean) for _, each in found), tuple(_lms(list(readings.values())))),
        tuple(skipped),
        tuple(position for position, _ in found),
    )


def _lms(readings: Sequence[Reading]) -> Iterable[RecordedLM]:
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
