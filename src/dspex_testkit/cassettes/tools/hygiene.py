"""Looking after a folder of recordings: what is in it, what is there twice, what nobody plays."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from dspex_testkit.cassettes import yaml_text
from dspex_testkit.cassettes.cleaning import without_secrets
from dspex_testkit.cassettes.document import (
    FORMAT,
    Document,
    document_from,
    format_of,
    level_of,
    read_document,
    read_record,
    refuse_nonsense,
)
from dspex_testkit.cassettes.files import refuse_read_only
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.leaks import refuse_secrets
from dspex_testkit.cassettes.library import cassette_files
from dspex_testkit.cassettes.matching import MatchRules
from dspex_testkit.cassettes.saving import save, save_traffic
from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.redaction import Redactor, Secrets


@dataclass(frozen=True, slots=True)
class Summary:
    """One cassette in a line."""

    path: Path
    level: str
    interactions: int
    models: tuple[str, ...] = ()
    errors: int = 0
    streamed: int = 0
    oldest: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    size: int = 0


def summarize(path: Path) -> Summary:
    """What a cassette holds.

    Raises:
        CassetteError: It is none.
    """
    record = read_record(path)
    size = path.stat().st_size
    if level_of(record) != "lm":
        return Summary(path, "http", len(record["interactions"]), size=size)
    found = document_from(record, path).interactions
    usages = [interaction.response.get("usage") or {} for interaction in found if interaction.response is not None]
    dates = sorted(interaction.recorded_at for interaction in found if interaction.recorded_at)
    return Summary(
        path,
        "lm",
        len(found),
        models=tuple(sorted({interaction.model for interaction in found})),
        errors=sum(interaction.error is not None for interaction in found),
        streamed=sum(interaction.chunks is not None for interaction in found),
        oldest=dates[0] if dates else None,
        input_tokens=sum(usage.get("input_tokens") or 0 for usage in usages),
        output_tokens=sum(usage.get("output_tokens") or 0 for usage in usages),
        cost=sum((interaction.cost for interaction in found if interaction.cost is not None), Decimal(0)),
        size=size,
    )


def calls_of(path: Path) -> tuple[list[tuple[int, Interaction]], tuple[str, ...]]:
    """The LM calls of a cassette of either level with their positions in it, and what is none; one line each.

    Raises:
        CassetteError: It is no cassette, or holds no LM call.
    """
    record = read_record(path)
    if level_of(record) == "lm":
        return list(enumerate(document_from(record, path).interactions)), ()
    # Here, because it needs dspy, and looking at LM calls does not.
    from dspex_testkit.cassettes.convert import convert

    conversion = convert(path)
    return list(zip(conversion.positions, conversion.document.interactions, strict=True)), conversion.skipped


def duplicates(paths: Iterable[Path]) -> list[list[tuple[Path, int]]]:
    """Groups of interactions with the same request and the same answer, wherever they lie."""
    rules = MatchRules()
    seen: dict[tuple[bytes, str], list[tuple[Path, int]]] = defaultdict(list)
    for path in paths:
        record = read_record(path)
        if level_of(record) != "lm":
            continue
        for position, interaction in enumerate(document_from(record, path).interactions):
            answer = json.dumps([_stable(interaction.response), interaction.error], sort_keys=True)
            seen[(rules.key(interaction.request), answer)].append((path, position))
    return [places for places in seen.values() if len(places) > 1]


def compare_files(left: Path, right: Path) -> list[str]:
    """What differs between two cassettes, one line each; empty where they say the same.

    Raises:
        CassetteError: One of them is no cassette of LM calls.
    """
    from dspex_testkit.cassettes.drift import compare

    rules = MatchRules()
    old, new = _by_key(read_document(left), rules), _by_key(read_document(right), rules)
    lines = []
    for key, recorded in old.items():
        other = new.get(key, [])
        for position, interaction in enumerate(recorded):
            if position >= len(other):
                lines.append(f"only in {left.name}: {_title(interaction)}")
            elif (drift := compare(interaction, other[position], position=position)) is not None:
                lines.append(f"{drift.severity.name.lower()}: {_title(interaction)}: {drift.what}")
                lines.append(f"  - {drift.recorded[:200]!r}")
                lines.append(f"  + {drift.live[:200]!r}")
    for key, recorded in new.items():
        extra = recorded[len(old.get(key, [])) :]
        lines += [f"only in {right.name}: {_title(interaction)}" for interaction in extra]
    return lines


def scrub(path: Path, redactor: Redactor) -> int:
    """Cut secrets out of a cassette of either level; returns how many interactions changed.

    Raises:
        CassetteError: It is no cassette, or holds a secret that cannot be cut out.
    """
    record = read_record(path)
    changed = (
        _scrub_calls(path, record, redactor) if level_of(record) == "lm" else _scrub_traffic(path, record, redactor)
    )
    if not changed:
        # What was cut out was looked through when it was saved.
        refuse_secrets(record, path.read_text(encoding="utf-8"), redactor.known, path=path)
    return changed


def _scrub_calls(path: Path, record: Any, redactor: Redactor) -> int:
    document = document_from(record, path)
    clean = tuple(without_secrets(interaction, redactor) for interaction in document.interactions)
    changed = sum(old != new for old, new in zip(document.interactions, clean, strict=True))
    if changed:
        save(path, Document(clean, document.lms), secrets=redactor.known)
    return changed


def _scrub_traffic(path: Path, record: Any, redactor: Redactor) -> int:
    clean: list[Any] = redactor.json(record["interactions"])
    changed = sum(bool(old != new) for old, new in zip(record["interactions"], clean, strict=True))
    if changed:
        _write_traffic(path, {**record, "interactions": clean}, redactor.known)
    return changed


def _write_traffic(path: Path, record: Any, secrets: Secrets) -> None:
    text = json.dumps(record, indent=2) if path.suffix == ".json" else yaml_text.dump(record)
    save_traffic(path, text, secrets=secrets)


def upgrade(path: Path, redactor: Redactor, *, check: bool = False) -> bool:
    """Have a cassette of either level say what today's format says; returns whether it did not.

    It replays as before: what the first format did not keep, such as the query of an address, is not compared of what
    was recorded then.

    Args:
        path: The file.
        redactor: Knows what must not stand in it.
        check: Only look.

    Raises:
        CassetteError: It is no cassette, or cannot be written.
    """
    record = read_record(path)
    if level_of(record) == "lm":
        document = document_from(record, path)
        if document.format == FORMAT:
            return False
        if not check:
            save(path, replace(document, format=FORMAT), secrets=redactor.known)
        return True
    if format_of(record) == FORMAT:
        return False
    if not check:
        for position, item in enumerate(record["interactions"]):
            refuse_nonsense(item, f"{path}: interactions[{position}]")
        _write_traffic(path, {**record, **_as_of_today(record)}, redactor.known)
    return True


def _as_of_today(record: Any) -> dict[str, Any]:
    header = {"level": "http", "format": FORMAT}
    interactions = [
        {**item, "response": {**item["response"], "recording": {"without_query": True}}}
        for item in record["interactions"]
    ]
    return {
        "metadata": {**(record.get("metadata") or {}), "dspex_testkit": header},
        "interactions": interactions,
    }


@dataclass(frozen=True, slots=True)
class Pruning:
    """What could go."""

    unplayed: dict[Path, tuple[int, ...]]
    """Interactions that no test of a run played, by file."""
    orphans: tuple[Path, ...]
    """Files that no test of the run opened."""


def plan_pruning(folder: Path, reports: object) -> Pruning:
    """What a run did not need.

    Args:
        folder: The cassettes.
        reports: The reports of the run's cassettes, as JSON (`CassetteReport.to_dict`).

    Raises:
        CassetteFormatError: The reports are none.
    """
    if not isinstance(reports, list) or not all(isinstance(one, dict) and "path" in one for one in reports):
        raise CassetteFormatError("The report must be a JSON list of cassette reports, each with 'path' and 'unplayed'")
    unused: dict[Path, set[int]] = {}
    for report in reports:
        path = Path(report["path"]).resolve()
        left = set(report.get("unplayed", ()))
        unused[path] = unused[path] & left if path in unused else left
    files = [path.resolve() for path in cassette_files([folder])]
    return Pruning(
        unplayed={path: tuple(sorted(left)) for path, left in unused.items() if left and path in files},
        orphans=tuple(path for path in files if path not in unused),
    )


def prune(plan: Pruning) -> None:
    """Take out what a plan names.

    Raises:
        CassetteError: A file cannot be read, or is read-only.
    """
    for path, positions in plan.unplayed.items():
        record = read_record(path)
        kept = [item for i, item in enumerate(record["interactions"]) if i not in positions]
        if not kept:
            _delete(path)
        elif level_of(record) == "lm":
            save(path, document_from({**record, "interactions": kept}, path), secrets=Secrets())
        else:
            _write_traffic(path, {**record, "interactions": kept}, Secrets())
    for path in plan.orphans:
        _delete(path)


def _delete(path: Path) -> None:
    refuse_read_only(path)
    path.unlink()


def most_used_models(summaries: Iterable[Summary]) -> Counter[str]:
    """How many cassettes name each model."""
    return Counter(model for summary in summaries for model in summary.models)


def _by_key(document: Document, rules: MatchRules) -> dict[bytes, list[Interaction]]:
    found: dict[bytes, list[Interaction]] = defaultdict(list)
    for interaction in document.interactions:
        found[rules.key(interaction.request)].append(interaction)
    return dict(found)


def _title(interaction: Interaction) -> str:
    parts = (interaction.request.get("messages") or [{}])[-1].get("parts", [])
    text = " ".join("".join(str(part.get("text", "")) for part in parts).split())
    return f"{interaction.model}: {text[:80]!r}"


def _stable(response: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if response is None else {key: value for key, value in response.items() if key != "id"}
