"""Keeping secrets out of recordings: what is cut from an interaction before it is kept."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dspex_testkit.cassettes.remembered import remembering_texts
from dspex_testkit.errors import UsageError

REDACTED = "[redacted]"

_SHORTEST = 8
"""Shorter values ("offline", "test") are no secrets, and would be cut out of ordinary words."""

_SECRET_VARIABLE = re.compile(
    r"(_API_KEY|_TOKEN|_SECRET|_SECRET_KEY|_PASSWORD|_ACCESS_KEY|_ACCESS_KEY_ID|_API_SECRET)$"
)

_PATTERNS = (
    r"\bsk-[A-Za-z0-9_-]{16,}",
    r"\bAIza[0-9A-Za-z_-]{30,}",
    r"\b(?:gsk_|xai-|pplx-|hf_|ghp_|gho_|ghs_)[A-Za-z0-9_-]{16,}",
    r"\bgithub_pat_[A-Za-z0-9_]{20,}",
    r"\bAKIA[0-9A-Z]{16}\b",
    r"\borg-[A-Za-z0-9]{16,}",
    r"\bproj_[A-Za-z0-9]{16,}",
    r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{16,}=*",
)
_PATTERN = re.compile("|".join(f"(?:{p})" if not p.startswith("(?i)") else f"(?i:{p[4:]})" for p in _PATTERNS))
# Every match of the pattern holds one of these; looking for them first is much cheaper than the pattern.
_PREFIXES = ("gsk_", "xai-", "pplx-", "hf_", "ghp_", "gho_", "ghs_")
_HINTS = ("sk-", "AIza", "AKIA", "org-", "proj_", "github_pat_", "earer", "EARER", *_PREFIXES)

_PRIVATE_KEYS = frozenset({"user", "user_id", "safety_identifier", "metadata", "organization", "system_fingerprint"})
"""Top-level fields of bodies that say who asked."""

Filter = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Takes a request or response as JSON and returns what may be kept of it; None: keep nothing of the interaction."""


def secrets_of_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The values of variables that hold keys, by the variable's name."""
    environ = os.environ if environ is None else environ
    return {name: value for name, value in environ.items() if _SECRET_VARIABLE.search(name) and len(value) >= _SHORTEST}


@remembering_texts
def _may_hold_a_key(text: str) -> bool:
    """Whether the pattern is worth a try."""
    return any(hint in text for hint in _HINTS)


@dataclass
class Redactor:
    """Cuts secrets out of JSON values.

    Known secrets are values (an LM's key, variables such as ``OPENAI_API_KEY``); patterns recognise the keys of
    well-known providers whoever holds them.
    """

    secrets: dict[str, str] = field(default_factory=secrets_of_environment)
    """Known secret values, by a name that may be shown."""
    patterns: tuple[re.Pattern[str], ...] = ()
    """The user's own, beside the built-in ones."""

    def learn(self, name: str, value: object) -> None:
        """Know one more secret."""
        if isinstance(value, str) and len(value) >= _SHORTEST:
            self.secrets = {**self.secrets, name: value}

    def concerns(self, value: Any) -> bool:
        """Whether a JSON value may hold anything to cut out; quickly, and rather too often than not."""
        if self.patterns:
            return True
        left, secrets = [value], self.secrets.values()
        while left:
            item = left.pop()
            if isinstance(item, str):
                if len(item) >= _SHORTEST and _may_hold_a_key(item):
                    return True
                if secrets and any(secret in item for secret in secrets):
                    return True
            elif isinstance(item, dict):
                left += item
                left += item.values()
            elif isinstance(item, list | tuple):
                left += item
        return False

    def text(self, text: str) -> str:
        """A text without secrets."""
        for secret in self.secrets.values():
            if secret in text:
                text = text.replace(secret, REDACTED)
        if _may_hold_a_key(text):
            text = _PATTERN.sub(REDACTED, text)
        for pattern in self.patterns:
            text = pattern.sub(REDACTED, text)
        return text

    def json(self, value: Any) -> Any:
        """A JSON value without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key) if isinstance(key, str) else key: self.json(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        return value


def without_private_fields(body: dict[str, Any]) -> dict[str, Any]:
    """A body without the fields that say who asked."""
    return {key: value for key, value in body.items() if key not in _PRIVATE_KEYS}


def compile_patterns(patterns: Iterable[str | re.Pattern[str]]) -> tuple[re.Pattern[str], ...]:
    """The user's patterns, compiled.

    Raises:
        UsageError: One is no regular expression.
    """
    return tuple(_compiled(pattern) for pattern in patterns)


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}") from None
