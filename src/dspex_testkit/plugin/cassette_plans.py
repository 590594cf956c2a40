"""Which recording belongs to a test, and what is to be done with it: marker, options and names put together."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from dspex_testkit.cassettes.names import as_name, file_name
from dspex_testkit.errors import UsageError
from dspex_testkit.plugin.cassette_settings import RECORD_MODES, CassetteSettings
from dspex_testkit.plugin.items import name_from_here
from dspex_testkit.plugin.options import Policy

Level = Literal["lm", "http"]
MARKER = "lm_cassette"
CONFIG = "lm_cassette_config"
DIRECTORY = "lm_cassette_dir"
_MARKED = f"the marker {MARKER}"
FOLDER = "cassettes"


@dataclass(frozen=True, slots=True)
class CassettePlan:
    """A test's recording."""

    folder: Path
    """The folder of cassettes beside the test's module."""
    name: str
    """Relative to the folder, with its suffix."""
    mode: str
    level: Level = "lm"
    options: Mapping[str, Any] = field(default_factory=dict)
    """As of `LMOptions` or `HTTPOptions`."""
    asked_for: bool = False
    """Whether the test itself asks for it, and not its module or the whole run: then there has to be one."""
    rerecord: str = ""
    """The command that records it again."""

    @property
    def path(self) -> Path:
        """The file.

        Raises:
            CassettePathError: The name leads out of the folder.
        """
        from dspex_testkit.cassettes.files import resolve_inside

        return resolve_inside(self.folder, self.name)

    @property
    def asks(self) -> bool:
        """Whether an LM may be asked."""
        return self.mode != "none"

    @property
    def policy(self) -> Policy:
        """How LMs of this test are answered."""
        return "live" if self.level == "http" else "record" if self.asks else "replay"

    def name_for(self, session_id: str | None) -> str:
        """The cassette of a bridge's session: one file each, so that each is found again by whichever process asks."""
        return self.name if session_id is None else f"{Path(self.name).with_suffix('')}.{as_name(session_id)}.yaml"


FOLDER_OF = pytest.StashKey[Path]()
"""Where a test's item has the folder of its cassettes, once that is known."""


@dataclass(frozen=True, slots=True)
class SuiteCassettes:
    """What the fixtures `lm_cassette_config` and `lm_cassette_dir` say for a test."""

    config: object = None
    folder: object = None


def plan_of(
    item: pytest.Item, settings: CassetteSettings, policy: Policy | None, suite: SuiteCassettes
) -> CassettePlan | None:
    """The plan of a test; None where it has no cassette.

    The command line's record mode wins over the marker's, and the nearest marker over those farther away, over the
    suite's fixture and over the ini file, as in pytest-recording.

    Args:
        item: The test.
        settings: What was said for the run.
        policy: The test's LM policy: `replay` and `record` give every test a cassette.
        suite: What the suite's fixtures say.

    Raises:
        UsageError: A marker or a fixture is written wrongly.
        CassettePathError: Its path leads out of the folder.
    """
    marks = list(item.iter_markers(MARKER))
    own = any(mark.name == MARKER for mark in item.own_markers) or MARKER in getattr(item, "fixturenames", ())
    if not marks and not own and policy not in ("replay", "record"):
        return None
    given = _read_config(suite.config)
    for mark in reversed(marks):
        given.update(_read_mark(mark))
    level = given.pop("level", "lm")
    _check_options(given, level, f"the fixture {CONFIG} and the marker {MARKER}" if suite.config else _MARKED)
    mode = settings.forced_mode or given.pop("record_mode", None)
    given.pop("record_mode", None)
    if mode is None:
        mode = "none" if policy == "replay" else settings.mode or ("once" if policy == "record" else "none")
    path = given.pop("path", None)
    rerecord = shlex.join(["pytest", name_from_here(item), "--lm-record-mode=rewrite"])
    defaults: dict[str, Any] = {} if settings.max_age is None else {"max_age": settings.max_age}
    item.stash[FOLDER_OF] = _read_folder(suite.folder, item)
    plan = CassettePlan(
        folder=item.stash[FOLDER_OF],
        name=default_name(item) if path is None else _with_suffix(str(path)),
        mode=mode,
        level=level,
        options={"on_stale": settings.on_stale, **defaults, **given},
        asked_for=own,
        rerecord=rerecord,
    )
    return _settled(plan)


def default_name(item: pytest.Item) -> str:
    """``<module>/<test>.yaml``: the same in every run, whatever else is parametrised by the plugin itself."""
    name = item.name
    spec: Any = getattr(item, "callspec", None)
    mode = None if spec is None else spec.params.get("_dspex_bridge_mode")
    if mode is not None and name.endswith(f"[{spec.id}]"):
        # Where its bridge runs changes nothing of what a test asks.
        rest = re.sub(f"^{mode}(-|$)|-{mode}$", "", spec.id, count=1)
        name = name[: -len(spec.id) - 2] + (f"[{rest}]" if rest else "")
    owner = getattr(item, "cls", None)
    if owner is not None:
        name = f"{owner.__qualname__}.{name}"
    return f"{item.path.stem}/{file_name(name)}"


def marked_name(item: pytest.Item) -> str | None:
    """The file that the nearest marker names, in the words of the folder; None where none does."""
    for mark in item.iter_markers(MARKER):
        path = mark.args[0] if mark.args else mark.kwargs.get("path")
        if path is not None:
            return _with_suffix(str(path))
    return None


def _with_suffix(name: str) -> str:
    return name if name.endswith((".yaml", ".yml")) else f"{name}.yaml"


def _settled(plan: CassettePlan) -> CassettePlan:
    """A plan of mode `once`, when it is known whether there is a recording."""
    if plan.level == "lm" and plan.mode == "once" and recordings_of(plan):
        return replace(plan, mode="none")
    return plan


def recordings_of(plan: CassettePlan) -> list[Path]:
    """The files of a test: its own, and those of sessions of its bridges."""
    path = plan.path
    sessions = [] if not path.parent.is_dir() else [p for p in path.parent.iterdir() if _is_session_of(p, path)]
    return [*([path] if path.exists() else []), *sorted(sessions)]


def _is_session_of(path: Path, main: Path) -> bool:
    return path.suffix == ".yaml" and path.name.startswith(f"{main.stem}.") and path != main


def report_of(said: Mapping[str, Any], *, level: Level) -> dict[str, Any]:
    """What came of a cassette, from a `CassetteReport` as JSON, in the form in which the run collects it."""
    mode, unplayed = said["mode"], list(said["unplayed"])
    return {
        **{name: value for name, value in said.items() if name not in ("status", "session_id")},
        "level": level,
        "verified": said["interactions"] - len(unplayed) if mode == "verify" else 0,
        # Whatever was asked was asked anew; that tells nothing about the rest of the file.
        "unplayed": [] if mode == "all" else unplayed,
    }


def was_used(report: Mapping[str, Any]) -> bool:
    """Whether anything was asked through a cassette."""
    return any(report[name] for name in ("played", "recorded", "verified", "misses", "drifts"))


def _read_mark(mark: pytest.Mark) -> dict[str, Any]:
    given = dict(mark.kwargs)
    if len(mark.args) > 1 or (mark.args and "path" in given):
        raise UsageError(f"the marker {MARKER} takes the path alone without a name, got {mark.args!r}")
    if mark.args:
        given["path"] = mark.args[0]
    _check_words(given, _MARKED)
    return given


def _read_config(config: object) -> dict[str, Any]:
    if config is None:
        return {}
    where = f"the fixture {CONFIG}"
    if not isinstance(config, Mapping):
        raise UsageError(f"{where} gives a dict of what the marker {MARKER} takes, not {config!r}")
    if "path" in config:
        raise UsageError(f"{where} takes no 'path': each test has a file of its own; {DIRECTORY} says in which folder")
    _check_words(config, where)
    return dict(config)


def _read_folder(folder: object, item: pytest.Item) -> Path:
    if folder is None:
        return item.path.parent / FOLDER
    if not isinstance(folder, str | os.PathLike):
        raise UsageError(f"the fixture {DIRECTORY} gives the path of a folder, not {folder!r}")
    return Path(item.config.rootpath, folder)


def _check_words(given: Mapping[str, Any], where: str) -> None:
    level = given.get("level", "lm")
    if level not in ("lm", "http"):
        raise UsageError(f"{where}: level is 'lm' or 'http', got {level!r}")
    mode = given.get("record_mode")
    if mode is not None and mode not in RECORD_MODES:
        raise UsageError(f"{where}: record_mode is one of {', '.join(RECORD_MODES)}, got {mode!r}")
    if "rerecord" in given:
        raise UsageError(f"{where} takes no 'rerecord': the command is known from the test's name")


def _check_options(given: Mapping[str, Any], level: Level, where: str) -> None:
    from dspex_testkit.cassettes.api import check_option_names

    check_option_names(sorted(given.keys() - {"path", "record_mode"}), level, f"{where}: ")
