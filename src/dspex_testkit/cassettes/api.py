"""The functions that most people need: `replay`, `record`, `open_cassette`."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, Unpack, get_type_hints

from dspex_testkit.cassettes.age import parse_age
from dspex_testkit.cassettes.cassette import CassetteOptions, OpenCassette
from dspex_testkit.cassettes.cleaning import Filter
from dspex_testkit.cassettes.drift import Comparator, Severity, same_words
from dspex_testkit.cassettes.lm import CassetteLM
from dspex_testkit.cassettes.matching import FIELDS, MatchRules
from dspex_testkit.cassettes.modes import RecordMode
from dspex_testkit.cassettes.playback import Exhausted
from dspex_testkit.errors import UsageError
from dspex_testkit.limits import brief
from dspex_testkit.nearest import did_you_mean
from dspex_testkit.patterns import AnyPattern, BoundedPattern, bounded
from dspex_testkit.redaction import Redactor, Secret, Secrets, compile_patterns, secrets_of_environment


class SharedOptions(TypedDict, total=False):
    """How cassettes of both levels are used."""

    match_on: Sequence[str]
    """What of a request counts. Of LM calls: some of model, messages, tools, response_format, params. Of HTTP traffic:
    some of method, host, path, query, body."""
    ignore: Sequence[str]
    """Paths that do not count: ``config.seed``, ``messages[*].parts[*].id``, or ``inputs.today`` for an input of the
    signature; in HTTP traffic paths into the body, or ``query.nonce`` for a parameter of the query."""
    ignore_patterns: Sequence[str | BoundedPattern]
    """Regular expressions for what does not count within texts."""
    on_exhausted: Exhausted
    """What an equal request gets after its last recording was played: `error`, `last` or `cycle`."""
    allow_playback_repeats: bool
    """vcrpy's name for ``on_exhausted="last"``."""
    record_errors: bool
    """Keep failures of the provider."""
    max_age: timedelta | str | None
    """How old a recording may be to be replayed: ``90d``."""
    on_stale: Literal["warn", "fail"]
    """What happens to an older one."""
    comparator: Comparator
    """Whether a recorded and a live text say the same; for mode `verify`."""
    fail_on: str
    """The least drift that fails: text, parameters or schema."""
    secrets: Sequence[str]
    """Values that must not be kept, beside keys found in the environment and in LMs."""
    redact: Sequence[str | AnyPattern]
    """Patterns that are cut out of everything."""
    filter_request: Filter | None
    """Changes what is kept and compared of a request, or drops the interaction. Of HTTP traffic it takes method, uri,
    headers and body, which is JSON where it can be."""
    filter_response: Filter | None
    """Changes what is kept of a response, or drops the interaction. Of HTTP traffic: status, headers and body."""
    rerecord: str | None
    """What a miss advises to do."""


class LMOptions(SharedOptions, total=False):
    """How cassettes of LM calls are used."""

    params: Sequence[str] | None
    """The parameters that count, such as ``["temperature"]``; by default all that are sent."""
    realtime: bool
    """Replay streams at the pace at which they came."""


class HTTPOptions(SharedOptions, total=False):
    """How cassettes of HTTP traffic are used."""

    canonical_host: str | None
    """Replaces every host; None keeps them."""
    keep_headers: Sequence[str]
    """Headers of requests that are kept, beside content-type, accept and anthropic-version."""


Level = Literal["lm", "http"]
_OPTIONS: Final = {"lm": LMOptions, "http": HTTPOptions}
_ELSEWHERE: Final = {
    "params": "bodies of HTTP traffic are a provider's own; leave fields of them out with ignore=['temperature']",
    "realtime": "HTTP clients read an answer whole before it is recorded, so nobody knows its pace; use level='lm'",
    "canonical_host": "LM calls have no host; use level='http'",
    "keep_headers": "LM calls have no headers; use level='http'",
}
"""Options that one level has and the other cannot have, and why."""

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
"""Those of `LMOptions` that concern a replay, and that JSON can say."""

SENDABLE_OPTIONS = REPLAY_OPTIONS | {"record_errors", "fail_on", "secrets", "redact", "rerecord"}
"""All of `LMOptions` that JSON can say."""


_PATTERNS = {"ignore_patterns": re.DOTALL, "redact": re.NOFLAG}
_MOST_PATTERNS = 100
_LISTS_OF_TEXTS = frozenset({"ignore", "match_on", "params", "secrets"})


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


def option_names(level: Level) -> frozenset[str]:
    """The options of a level."""
    return frozenset(get_type_hints(_OPTIONS[level]))


def check_option_names(given: Iterable[str], level: Level, where: str = "") -> None:
    """Look whether a level has all these options, so that none is accepted and ignored.

    Raises:
        UsageError: It has not.
    """
    known = option_names(level)
    for name in given:
        if name in known:
            continue
        if name in _ELSEWHERE:
            raise UsageError(f"{where}level={level!r} has no {name!r}: {_ELSEWHERE[name]}")
        hint = did_you_mean(name, known, f"it takes {', '.join(sorted(known))}")
        raise UsageError(f"{where}a cassette takes no {name!r}; {hint}")


def cassette_options(**options: Unpack[LMOptions]) -> CassetteOptions:
    """How cassettes of LM calls are to be used; each option is described at `LMOptions`.

    Raises:
        UsageError: One of them cannot be used.
    """
    check_option_names(options, "lm")
    _check_lists(options)
    for path in options.get("ignore", ()):
        if path.startswith("query."):
            raise UsageError(f"ignore={path!r} leaves out a parameter of a query, and LM calls have none")
    params = options.get("params")
    rules = MatchRules(
        on=tuple(options.get("match_on", FIELDS)),
        params=None if params is None else tuple(params),
        **_ignoring(options),
    )
    return _settings(options, rules, realtime=options.get("realtime", False))


def http_options(**options: Unpack[HTTPOptions]) -> CassetteOptions:
    """How cassettes of HTTP traffic are to be used; each option is described at `HTTPOptions`.

    What counts of a request beside its body, and which host and headers are kept, are for `HTTPFilters` to know.

    Raises:
        UsageError: One of them cannot be used.
    """
    check_option_names(options, "http")
    _check_lists(options)
    return _settings(options, MatchRules(**_ignoring(options)))


def _check_lists(options: Mapping[str, Any]) -> None:
    # One text would be taken for a list of its letters.
    for name in _LISTS_OF_TEXTS & options.keys():
        value = options[name]
        if value is None and name == "params":
            continue
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            raise UsageError(f"{name} is a list of texts, not {brief(value)}")
        if isinstance(value, list | tuple) and (wrong := [each for each in value if not isinstance(each, str)]):
            raise UsageError(f"{name} is a list of texts, and {brief(wrong[0])} is among them")


def _ignoring(options: SharedOptions) -> dict[str, Any]:
    repeats, exhausted = options.get("allow_playback_repeats", False), options.get("on_exhausted", "error")
    return {
        "ignore": tuple(options.get("ignore", ())),
        "ignore_patterns": tuple(options.get("ignore_patterns", ())),
        "exhausted": "last" if repeats and exhausted == "error" else exhausted,
    }


def _settings(options: SharedOptions, rules: MatchRules, *, realtime: bool = False) -> CassetteOptions:
    redactor = Redactor(
        Secrets(
            [
                *secrets_of_environment(),
                *(Secret(value, f"secret {i + 1}") for i, value in enumerate(options.get("secrets", ()))),
            ]
        ),
        patterns=compile_patterns(options.get("redact", ())),
    )
    if (on_stale := options.get("on_stale", "warn")) not in ("warn", "fail"):
        raise UsageError(f"on_stale is warn or fail, got {on_stale!r}")
    max_age = options.get("max_age")
    return CassetteOptions(
        rules=rules,
        record_errors=options.get("record_errors", True),
        max_age=None if max_age is None else parse_age(max_age),
        on_stale=on_stale,
        comparator=options.get("comparator", same_words),
        fail_on=Severity.of(options.get("fail_on", "text")),
        redactor=redactor,
        filter_request=options.get("filter_request"),
        filter_response=options.get("filter_response"),
        rerecord=options.get("rerecord"),
        realtime=realtime,
    )


def open_cassette(path: str | os.PathLike[str], mode: str = "none", **options: Unpack[LMOptions]) -> OpenCassette:
    """A cassette in use, to be ended with `commit` or `discard`.

    Args:
        path: The file.
        mode: One of none, once, new_episodes, all, rewrite, verify.
        options: As of `LMOptions`.

    Raises:
        CassetteError: It cannot be opened.
        UsageError: The mode or an option cannot be used.
    """
    return OpenCassette(Path(path).resolve(), RecordMode.of(mode), cassette_options(**options))


def replay(path: str | os.PathLike[str], *, model: str | None = None, **options: Unpack[LMOptions]) -> CassetteLM:
    """An LM that answers from a recording only, and never sends a request.

    Args:
        path: The file.
        model: Which of the recorded LMs, where there are several.
        options: As of `LMOptions`.

    Raises:
        CassetteError: It cannot be opened.
        UsageError: Several LMs are recorded, or an option cannot be used.
    """
    return open_cassette(path, "none", **options).lm_for(model=model)


@contextmanager
def record(
    lm: Any,
    path: str | os.PathLike[str],
    *,
    record_mode: str = "once",
    model: str | None = None,
    **options: Unpack[LMOptions],
) -> Iterator[CassetteLM]:
    """An LM whose calls are recorded; the file is written when the block succeeds.

    Args:
        lm: Any `dspy.LM`: live, mock, simulated.
        path: The file.
        record_mode: One of none, once, new_episodes, all, rewrite, verify.
        model: The name under which calls are kept, where it is not the LM's own.
        options: As of `LMOptions`.

    Raises:
        CassetteError: It cannot be opened or written, a miss was swallowed, or nothing was recorded.
        UsageError: The mode or an option cannot be used.
    """
    with open_cassette(path, record_mode, **options) as cassette:
        yield cassette.lm_for(lm, model=model)
