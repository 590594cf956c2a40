"""The functions that most people need: `replay`, `record`, `open_cassette`."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dspex_testkit.cassettes.cassette import CassetteOptions, OpenCassette
from dspex_testkit.cassettes.cleaning import Filter
from dspex_testkit.cassettes.drift import Comparator, Severity, same_words
from dspex_testkit.cassettes.matching import FIELDS, Exhausted, MatchRules
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.errors import UsageError
from dspex_testkit.limits import brief
from dspex_testkit.patterns import AnyPattern, BoundedPattern, bounded
from dspex_testkit.redaction import Redactor, Secret, Secrets, compile_patterns, secrets_of_environment

if TYPE_CHECKING:
    from dspex_testkit.cassettes.lm import CassetteLM

REPLAY_OPTIONS = frozenset(
    {
        "match_on",
        "params",
        "ignore",
        "ignore_patterns",
        "on_exhausted",
        "allow_playback_repeats",
        "realtime",
        "max_age",
        "on_stale",
    }
)
"""Those of `cassette_options` that concern a replay, and that JSON can say."""

SENDABLE_OPTIONS = REPLAY_OPTIONS | {"record_errors", "fail_on", "secrets", "redact", "rerecord"}
"""All of them that JSON can say."""


_PATTERNS = {"ignore_patterns": re.DOTALL, "redact": re.NOFLAG}
_MOST_PATTERNS = 100


def sent_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that a client sent, as `cassette_options` takes them: their regular expressions are bounded.

    Raises:
        UsageError: A list of patterns is none, or is too long.
        UnusablePatternError: A pattern cannot be used.
    """
    options = dict(given)
    for name, flags in _PATTERNS.items():
        patterns = options.get(name, [])
        if not isinstance(patterns, list | tuple) or not all(isinstance(pattern, str) for pattern in patterns):
            raise UsageError(f"{name} is a list of regular expressions, not {brief(patterns)}")
        if len(patterns) > _MOST_PATTERNS:
            raise UsageError(f"{name} are {_MOST_PATTERNS} at most, and {len(patterns)} came")
        if patterns:
            options[name] = [bounded(pattern, int(flags)) for pattern in patterns]
    return options


def cassette_options(
    *,
    match_on: Sequence[str] = FIELDS,
    params: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    ignore_patterns: Sequence[str | BoundedPattern] = (),
    on_exhausted: Exhausted = "error",
    allow_playback_repeats: bool = False,
    record_errors: bool = True,
    max_age: timedelta | str | None = None,
    on_stale: Literal["warn", "fail"] = "warn",
    comparator: Comparator = same_words,
    fail_on: str = "text",
    secrets: Sequence[str] = (),
    redact: Sequence[str | AnyPattern] = (),
    filter_request: Filter | None = None,
    filter_response: Filter | None = None,
    rerecord: str | None = None,
    realtime: bool = False,
) -> CassetteOptions:
    """How cassettes are to be used.

    Args:
        match_on: What of a request counts: some of model, messages, tools, response_format, params.
        params: The parameters that count, such as ``["temperature"]``; by default all that are sent.
        ignore: Paths that do not count: ``config.seed``, ``messages[*].parts[*].id``, or ``inputs.today`` for an input
            of the signature.
        ignore_patterns: Regular expressions for what does not count within texts.
        on_exhausted: What an equal request gets after its last recording was played: `error`, `last` or `cycle`.
        allow_playback_repeats: vcrpy's name for ``on_exhausted="last"``.
        record_errors: Keep failures of the provider.
        max_age: How old a recording may be to be replayed: ``90d``.
        on_stale: What happens to an older one.
        comparator: Whether a recorded and a live text say the same; for mode `verify`.
        fail_on: The least drift that fails: text, parameters or schema.
        secrets: Values that must not be kept, beside keys found in the environment and in LMs.
        redact: Patterns that are cut out of everything.
        filter_request: Changes what is kept and compared of a request, or drops the interaction.
        filter_response: Changes what is kept of a response, or drops the interaction.
        rerecord: What a miss advises to do.
        realtime: Replay streams at the pace at which they came.

    Raises:
        UsageError: One of them cannot be used.
    """
    redactor = Redactor(
        Secrets([*secrets_of_environment(), *(Secret(value, f"secret {i + 1}") for i, value in enumerate(secrets))]),
        patterns=compile_patterns(redact),
    )
    return CassetteOptions(
        rules=MatchRules(
            on=tuple(match_on),
            params=None if params is None else tuple(params),
            ignore=tuple(ignore),
            ignore_patterns=tuple(ignore_patterns),
            exhausted="last" if allow_playback_repeats and on_exhausted == "error" else on_exhausted,
        ),
        record_errors=record_errors,
        max_age=max_age,
        on_stale=on_stale,
        comparator=comparator,
        fail_on=Severity.of(fail_on),
        redactor=redactor,
        filter_request=filter_request,
        filter_response=filter_response,
        rerecord=rerecord,
        realtime=realtime,
    )


def open_cassette(path: str | os.PathLike[str], mode: str = "none", **options: Any) -> OpenCassette:
    """A cassette in use, to be ended with `commit` or `discard`.

    Args:
        path: The file.
        mode: One of none, once, new_episodes, all, rewrite, verify.
        options: As of `cassette_options`.

    Raises:
        CassetteError: It cannot be opened.
        UsageError: The mode or an option cannot be used.
    """
    return OpenCassette(Path(path).resolve(), RecordMode.of(mode), cassette_options(**options))


def replay(path: str | os.PathLike[str], *, model: str | None = None, **options: Any) -> "CassetteLM":
    """An LM that answers from a recording and asks nobody.

    Args:
        path: The file.
        model: Which of the recorded LMs, where there are several.
        options: As of `cassette_options`.

    Raises:
        CassetteError: It cannot be opened.
        UsageError: Several LMs are recorded, or an option cannot be used.
    """
    lm: CassetteLM = open_cassette(path, "none", **options).lm_for(model=model)
    return lm


@contextmanager
def record(
    lm: Any, path: str | os.PathLike[str], *, record_mode: str = "once", model: str | None = None, **options: Any
) -> Iterator["CassetteLM"]:
    """An LM whose calls are recorded; the file is written when the block succeeds.

    Args:
        lm: Any `dspy.LM`: live, mock, simulated.
        path: The file.
        record_mode: One of none, once, new_episodes, all, rewrite, verify.
        model: The name under which calls are kept, where it is not the LM's own.
        options: As of `cassette_options`.

    Raises:
        CassetteError: It cannot be opened or written, a miss was swallowed, or nothing was recorded.
        UsageError: The mode or an option cannot be used.
    """
    with open_cassette(path, record_mode, **options) as cassette:
        yield cassette.lm_for(lm, model=model)
