"""What a miss says: what was asked, which recordings come nearest, and where they differ."""

from collections.abc import Sequence
from difflib import SequenceMatcher, unified_diff
from pathlib import Path
from typing import Any

from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.matching import MatchRules
from dspex_testkit.errors import NoMatchingInteractionError

_MOST_COMPARED = 300
_MOST_SHOWN = 2
_LONGEST = 400


def flatten(value: Any, place: str = "") -> dict[str, Any]:
    """A JSON value as one entry per leaf, under its path."""
    if isinstance(value, dict) and value:
        found: dict[str, Any] = {}
        for key, item in value.items():
            found.update(flatten(item, f"{place}.{key}".lstrip(".")))
        return found
    if isinstance(value, list) and value:
        found = {}
        for position, item in enumerate(value):
            found.update(flatten(item, f"{place}[{position}]"))
        return found
    return {place: value}


def differences(asked: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """The fields in which two comparable requests differ, one entry each, in reading order."""
    left, right = flatten(asked), flatten(recorded)
    found = []
    for place in [*left, *(place for place in right if place not in left)]:
        if place in left and place in right and left[place] == right[place]:
            continue
        if place not in right:
            found.append(f"{place}: asked {_short(left[place])}, not recorded")
        elif place not in left:
            found.append(f"{place}: recorded {_short(right[place])}, not asked")
        else:
            found.append(f"{place}: {_change(left[place], right[place])}")
    return found


def nearest_interactions(
    comparable: dict[str, Any], interactions: Sequence[Interaction], rules: MatchRules
) -> list[tuple[int, list[str]]]:
    """Positions of the recordings that resemble a request most, with what differs; the nearest first."""
    asked = flatten(comparable)
    texts = " ".join(str(value) for value in asked.values())
    matcher = SequenceMatcher(b=texts, autojunk=True)
    words = set(texts.split())

    def overlap(interaction: Interaction) -> int:
        return len(words.intersection(" ".join(map(str, flatten(interaction.request).values())).split()))

    positions = list(range(len(interactions)))
    if len(positions) > _MOST_COMPARED:
        positions.sort(key=lambda i: overlap(interactions[i]), reverse=True)
        positions = positions[:_MOST_COMPARED]
    scored = []
    for position in positions:
        recorded = rules.comparable(interactions[position].request)
        flat = flatten(recorded)
        equal = sum(1 for place, value in asked.items() if flat.get(place) == value)
        matcher.set_seq1(" ".join(str(value) for value in flat.values()))
        scored.append((equal / max(len(asked), len(flat)) + matcher.quick_ratio(), -position, recorded))
    scored.sort(key=lambda entry: entry[:2], reverse=True)
    return [(-position, differences(comparable, recorded)) for _, position, recorded in scored[:_MOST_SHOWN]]


def no_match(
    request: dict[str, Any],
    interactions: Sequence[Interaction],
    rules: MatchRules,
    *,
    path: Path,
    times_played: int,
    rerecord: str,
) -> NoMatchingInteractionError:
    """The error for a request that no recording answers.

    Args:
        request: What was asked, without secrets.
        interactions: What is recorded.
        rules: How they were compared.
        path: The cassette.
        times_played: How many recordings of this very request were there and are played; 0 for none.
        rerecord: What to do to record it.
    """
    comparable = rules.comparable(request)
    asked = _short(_last_text(request), 300)
    details: dict[str, Any] = {"path": str(path), "model": request.get("model"), "asked": asked}
    lines = [f"{path.name} has no recording that answers {request.get('model')}: {asked}"]
    if times_played:
        lines = [
            f"{path.name} has {times_played} recording(s) of this request to {request.get('model')}, and all were "
            f"played: {asked}",
            "  Equal requests are answered in recorded order; on_exhausted='last' or 'cycle' repeats them, and so "
            "does allow_playback_repeats=True.",
        ]
        details["times_played"] = times_played
    elif not interactions:
        lines.append("  It holds no recordings at all.")
    else:
        found = nearest_interactions(comparable, interactions, rules)
        details["nearest"] = [{"interaction": position, "differs": fields} for position, fields in found]
        for position, fields in found:
            lines.append(f"  Nearest is interaction {position}, which differs in:")
            lines += [f"    {field}" for field in fields[:8]]
            if len(fields) > 8:
                lines.append(f"    … and {len(fields) - 8} more")
    lines.append(f"  {path}")
    lines.append(f"  To record it: {rerecord}")
    return NoMatchingInteractionError("\n".join(lines), details=details)


def title(request: dict[str, Any]) -> str:
    """A request in a line, for people."""
    return f"{request.get('model')}: {_short(_last_text(request), 100)}"


def _last_text(request: dict[str, Any]) -> str:
    messages = request.get("messages") or [{}]
    return "".join(str(part.get("text", "")) for part in messages[-1].get("parts", [])).strip()


def _change(asked: Any, recorded: Any) -> str:
    if not (isinstance(asked, str) and isinstance(recorded, str)) or len(asked) + len(recorded) < 120:
        return f"asked {_short(asked)}, recorded {_short(recorded)}"
    diff = list(unified_diff(_words(recorded), _words(asked), n=0, lineterm=""))[3:]
    return _short(" ".join(line for line in diff if not line.startswith("@@")), as_is=True)


def _words(text: str) -> list[str]:
    """Pieces of some words each, so that a diff of one long line says what changed and nothing else."""
    return text.split(" ")


def _short(value: Any, limit: int = _LONGEST, *, as_is: bool = False) -> str:
    text = value if as_is and isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
