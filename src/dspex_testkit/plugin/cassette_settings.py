"""What the command line and the ini file say of recordings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.errors import UsageError

RECORD_MODES = ("none", "once", "new_episodes", "all", "rewrite", "verify")
STALE = ("warn", "fail")
UNPLAYED = ("report", "fail")


@dataclass(frozen=True, slots=True)
class CassetteSettings:
    """What was said of recordings for the whole run."""

    forced_mode: str | None = None
    """The record mode of the command line, over every marker."""
    mode: str | None = None
    """The record mode of the ini file, for tests that name none."""
    max_age: str | None = None
    """How old a recording may be to be replayed: ``90d``."""
    on_stale: str = "warn"
    """What happens to an older one."""
    unplayed: str = "report"
    """What happens where recorded interactions were not played."""
    report: Path | None = None
    """Where the run's cassettes are told, as JSON."""


CASSETTE_SETTINGS = pytest.StashKey[CassetteSettings]()


def add_options(parser: pytest.Parser) -> None:
    """Declare options and ini keys."""
    group = parser.getgroup("dspex-testkit", "bridges and LMs (dspex-testkit)")

    def option(flag: str, help: str, **kwargs: Any) -> None:
        name = flag.lstrip("-").replace("-", "_")
        group.addoption(flag, dest=name, default=None, help=help, **kwargs)
        parser.addini(name, f"The same as {flag}.", default=None)

    option("--lm-record-mode", "What cassettes do: replay (none, the default), or record.", choices=RECORD_MODES)
    option("--lm-max-age", "How old a recording may be to be replayed: 12h, 90d, 8w or 1y.", metavar="AGE")
    option("--lm-stale", "What happens to tests whose recording is older (default: warn).", choices=STALE)
    option("--lm-unplayed", "What happens where recordings are not played (default: report).", choices=UNPLAYED)
    option("--lm-cassette-report", "Tell what was played, for `dspex-testkit cassettes prune`.", metavar="FILE")


def read_settings(config: pytest.Config) -> CassetteSettings:
    """What was said for this run.

    Raises:
        UsageError: A value cannot be used.
    """

    def ini(name: str) -> str | None:
        return config.getini(name) or None

    def choice(name: str, choices: tuple[str, ...]) -> str | None:
        value = config.getoption(name) or ini(name)
        if value is not None and value not in choices:
            raise UsageError(f"{name} in the ini file: wanted one of {', '.join(choices)}, got {value!r}")
        return value

    mode = choice("lm_record_mode", RECORD_MODES)
    forced = config.getoption("lm_record_mode")
    return CassetteSettings(
        forced_mode=forced,
        mode=None if forced else mode,
        max_age=_age(config.getoption("lm_max_age") or ini("lm_max_age")),
        on_stale=choice("lm_stale", STALE) or "warn",
        unplayed=choice("lm_unplayed", UNPLAYED) or "report",
        report=_path(config),
    )


def _age(text: str | None) -> str | None:
    if text is None:
        return None
    from dspex_testkit.cassettes.age import parse_age

    try:
        parse_age(text)
    except UsageError as error:
        raise UsageError(f"lm-max-age: {error.message}") from None
    return text


def _path(config: pytest.Config) -> Path | None:
    given = config.getoption("lm_cassette_report")
    if given is not None:
        return config.invocation_params.dir / Path(given).expanduser()
    ini = config.getini("lm_cassette_report")
    return config.rootpath / Path(ini).expanduser() if ini else None
