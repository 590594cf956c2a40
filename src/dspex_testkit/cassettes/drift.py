"""Has the provider changed? A recorded answer beside the one that the provider gives today."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.errors import CassetteDriftError, CassetteError, NothingRecordedError, UsageError

Comparator = Callable[[str, str], bool]
"""Whether two answers' texts, the recorded one first, say the same."""

_UNANSWERED = frozenset(
    {"not_configured", "auth", "billing", "rate_limit", "transport", "timeout", "unsupported_feature"}
)
"""Failures that say nothing of what the provider would answer: a key, money or the way to it is missing."""
_UNANSWERED_STATUS = frozenset({401, 402, 403, 407, 408, 429})

_SECTION = re.compile(r"\[\[ ## (\w+) ## \]\]|<(\w+)>")


class Severity(IntEnum):
    """How much a change matters, least first."""

    TEXT = 1
    """Other words in the same shape."""
    PARAMETERS = 2
    """Another model version, finish reason or argument of a tool call."""
    SCHEMA = 3
    """Another shape: parts, tools, fields or keys; an error where there was an answer; or no recording at all."""

    @classmethod
    def of(cls, name: str) -> "Severity":
        """The severity of this name.

        Raises:
            UsageError: There is none.
        """
        try:
            return cls[name.upper()]
        except (KeyError, AttributeError):
            raise UsageError(f"There is no severity {name!r}; write text, parameters or schema") from None


@dataclass(frozen=True, slots=True)
class Drift:
    """One answer that is not what was recorded."""

    severity: Severity
    what: str
    """What differs, for a person."""
    recorded: str
    live: str
    interaction: int | None = None
    """The recording's position; None where the request was not recorded."""

    def __str__(self) -> str:
        place = "unrecorded" if self.interaction is None else f"interaction {self.interaction}"
        return f"{self.severity.name.lower()}: {place}: {self.what}"


def same_words(recorded: str, live: str) -> bool:
    """The default comparator: equal up to white space."""
    return recorded.split() == live.split()


def compare(
    recorded: Interaction, live: Interaction, *, position: int, comparator: Comparator = same_words
) -> Drift | None:
    """The gravest difference between a recording and today's answer; None where they agree."""

    def drift(severity: Severity, what: str) -> Drift:
        return Drift(severity, what, recorded.text, live.text, position)

    if recorded.error is not None or live.error is not None:
        before, now = (recorded.error or {}).get("code"), (live.error or {}).get("code")
        if before == now:
            return None
        return drift(Severity.SCHEMA, f"was {before or 'an answer'}, is {now or 'an answer'}")
    old, new = recorded.response or {}, live.response or {}
    before, now = _shape(old), _shape(new)
    if before != now:
        return drift(Severity.SCHEMA, f"the answer's shape was {before}, is {now}")
    if old.get("model") != new.get("model"):
        return drift(Severity.PARAMETERS, f"the answering model was {old.get('model')!r}, is {new.get('model')!r}")
    if old.get("finish_reason") != new.get("finish_reason"):
        return drift(
            Severity.PARAMETERS, f"finish_reason was {old.get('finish_reason')!r}, is {new.get('finish_reason')!r}"
        )
    if (before := _arguments(old)) != (now := _arguments(new)):
        return drift(Severity.PARAMETERS, f"tool arguments were {before}, are {now}")
    if not comparator(recorded.text, live.text):
        return drift(Severity.TEXT, "the wording differs")
    return None


def unrecorded(live: str, miss: CassetteError) -> Drift:
    """The drift of a request that the cassette does not know: the program itself asks something else now.

    Args:
        live: What the provider answers.
        miss: What a replay would say of the request; its first line names it, and others what differs.
    """
    asked, *lines = miss.message.splitlines()
    fields = "\n".join(f"  {line}" for line in lines if line.startswith(("  Nearest", "    ")))
    what = f"the program asks what was never recorded: {asked}"
    return Drift(Severity.SCHEMA, f"{what}\n{fields}" if fields else what, "", live)


def unanswered(recorded: Interaction | None, live: Interaction) -> str | None:
    """Why the provider's answer is unknown (no key, no money, no connection); None where it answered.

    A failure that was recorded is the answer that is expected.
    """
    error = live.error or {}
    if error.get("code") not in _UNANSWERED:
        return None
    if recorded is not None and (recorded.error or {}).get("code") == error["code"]:
        return None
    return f"{error['code']}: {str(error.get('message') or '').strip().partition(chr(10))[0]}"


def unanswered_status(recorded: int | None, live: int) -> str | None:
    """The same of an HTTP response."""
    return f"status {live}" if live in _UNANSWERED_STATUS and live != recorded else None


def refuse_drift(
    drifts: Sequence[Drift], *, least: Severity, path: Path, asked: bool, uncompared: Sequence[str] = ()
) -> None:
    """End mode `verify`.

    Args:
        drifts: What was found.
        least: The least drift that fails.
        path: The cassette.
        asked: Whether anything was compared.
        uncompared: What could not be, and why; a line each.

    Raises:
        NothingRecordedError: Nothing was.
        CassetteDriftError: The provider answers otherwise.
        CassetteError: Something could not be compared.
    """
    if not asked and not drifts:
        raise NothingRecordedError(
            f"{path} was to be verified, and no LM was called through it", details={"path": str(path)}
        )
    grave = [found for found in drifts if found.severity >= least]
    if grave:
        lines = "\n".join(f"  {found}" for found in grave)
        raise CassetteDriftError(
            f"{path} no longer says what the provider says:\n{lines}\n  Record it again with "
            "record_mode='rewrite' where the change is welcome.",
            details={"path": str(path), "drifts": [str(found) for found in grave]},
        )
    if uncompared:
        lines = "\n".join(f"  {line}" for line in uncompared)
        raise CassetteError(
            f"{path} could not be verified:\n{lines}\n  That says nothing of the recording; give the LM its key, or "
            "try again later.",
            details={"path": str(path), "uncompared": list(uncompared)},
        )


def _parts(response: dict[str, Any]) -> list[dict[str, Any]]:
    return list(response.get("message", {}).get("parts", []))


def _shape(response: dict[str, Any]) -> list[str]:
    """Part types in order, with tool names and with the fields or keys that texts are made of."""
    shape = []
    for part in _parts(response):
        kind = str(part.get("type"))
        if kind == "tool_call":
            shape.append(f"tool_call {part.get('name')}({', '.join(sorted(part.get('input') or {}))})")
        elif kind == "text":
            shape.append(f"text {_fields(str(part.get('text') or ''))}".strip())
        elif kind not in ("thinking", "citation"):
            shape.append(kind)
    return shape


def _fields(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        names = [match.group(1) or match.group(2) for match in _SECTION.finditer(text)]
        return f"[{', '.join(names)}]" if names else ""
    return keys_of(value)


def keys_of(value: Any) -> str:
    """The shape of a JSON value: its keys and types, lists by their first item."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {keys_of(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return f"[{keys_of(value[0])}]" if value else "[]"
    return type(value).__name__


def _arguments(response: dict[str, Any]) -> list[Any]:
    return [part.get("input") for part in _parts(response) if part.get("type") == "tool_call"]
