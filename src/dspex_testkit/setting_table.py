"""Every setting of a bridge: its names, how a value is read, its default and what it is for.

The one place that says so: command line, environment, settings file, reference page, `BridgeSettings` and the cache are
made from it. Like all that a launcher imports it brings nothing heavy along.
"""

import os

from dspex_testkit.protocol import DEFAULT_MAX_FRAME_SIZE
from dspex_testkit.protocol.frames import LARGEST_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Kind:
    """Reads one kind of value.

    Args:
        wanted: Completes the sentence "wanted …".
        read: Gives the value, or raises ValueError, TypeError or KeyError; text comes from flags and environment,
            anything else from the file.
        metavar: Stands for the value in the help text.
        choices: All possible values, where they are few.
    """

    __slots__ = ("choices", "metavar", "read", "wanted")

    def __init__(
        self, wanted: str, read: "Callable[[Any], Any]", metavar: str, choices: "tuple[str, ...]" = ()
    ) -> None:
        self.wanted = wanted
        self.read = read
        self.metavar = metavar
        self.choices = choices


def choice(*names: str) -> Kind:
    """One of a few words."""

    def read(value: "Any") -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return Kind(f"one of {', '.join(names)}", read, "|".join(names), names)


def _boolean(value: "Any") -> bool:
    return value if isinstance(value, bool) else _BOOLEANS[value.strip().lower()]


def _integer(value: "Any") -> int:
    if isinstance(value, bool | float):
        raise TypeError
    return int(value)


def _count(value: "Any") -> int:
    number = _integer(value)
    if number < 1:
        raise ValueError
    return number


def _seconds(value: "Any") -> float:
    number = float(value)
    if isinstance(value, bool) or not 0 < number < float("inf"):
        raise ValueError
    return number


def _size(value: "Any") -> int:
    if isinstance(value, str):
        digits = value.strip().rstrip("abceghikmBGIKM ")
        value = int(float(digits) * _UNITS[value.strip()[len(digits) :].strip().lower()])
    if _count(value) > LARGEST_SIZE:
        raise ValueError
    return int(value)


def _text(value: "Any") -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError
    return value


def _log_target(value: "Any") -> str:
    target = _text(value)
    return target.lower() if target.lower() in ("off", "stderr") else os.path.abspath(os.path.expanduser(target))


def _lm(value: "Any") -> "str | dict[str, Any]":
    if isinstance(value, str) and value.lstrip().startswith("{"):
        import json

        value = json.loads(value)
    if isinstance(value, dict) and value:
        return value
    return _text(value)


def _modules(value: "Any") -> "tuple[str, ...]":
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) and all(part.isidentifier() for part in name.split(".")) for name in names):
        raise ValueError
    return tuple(names)


def _names(value: "Any") -> "tuple[str, ...]":
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) and name and not name.isspace() for name in names):
        raise ValueError
    return tuple(names)


def _pairs(value: "Any") -> "tuple[tuple[str, str], ...]":
    if isinstance(value, str):
        value = dict(pair.split("=", 1) for pair in value.split(","))
    if value == []:
        return ()  # as the installed file spells "none"
    pairs = tuple((name.strip(), other.strip()) for name, other in value.items())
    if not all(name and other for name, other in pairs):
        raise ValueError
    return pairs


BOOLEAN = Kind("true or false", _boolean, "true|false", ("true", "false"))
INTEGER = Kind("an integer", _integer, "N")
COUNT = Kind("a positive integer", _count, "N")
SECONDS = Kind("a positive number of seconds", _seconds, "SECONDS")
SIZE = Kind("a positive number of bytes below 4 GiB, such as 1048576 or 64MiB", _size, "SIZE")
TEXT = Kind("text that is not empty", _text, "TEXT")
LOG_TARGET = Kind("a path, 'stderr' or 'off'", _log_target, "PATH|stderr|off")
LM = Kind("a model such as 'openai/gpt-4', or an LM config as a JSON object", _lm, "MODEL|JSON")
MODULES = Kind("module names separated by commas, such as 'myapp.mocks'", _modules, "MODULE,…")
NAMES = Kind("names separated by commas, such as 'api.openai.com'", _names, "NAME,…")
PAIRS = Kind("pairs of models such as 'gemini-1.5-flash=gemini-2.5-flash'", _pairs, "MODEL=MODEL,…")

ENV_PREFIX = "DSPEX_TESTKIT_"
FILE_NAME = "dspex_testkit.toml"


class Setting:
    """One row.

    Args:
        name: Its key in the file and its attribute in `Settings`.
        kind: Reads and checks a value.
        default: What holds where nobody says anything.
        help: One sentence for a person.
        env: Its environment variable; made from the name if None.
        flag: Whether it has a command line option.
        key: Whether it may stand in the file.
    """

    __slots__ = ("default", "env", "flag", "help", "key", "kind", "name")

    def __init__(
        self,
        name: str,
        kind: "Kind",
        default: "Any",
        help: str,
        *,
        env: "str | None" = None,
        flag: bool = True,
        key: bool = True,
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help
        self.env = env or ENV_PREFIX + name.upper()
        self.flag = "--" + name.replace("_", "-") if flag else None
        self.key = name if key else None

    @property
    def shown_default(self) -> str:
        """The default as a person would write it."""
        if self.default is None or self.default == ():
            return "none"
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


SETTINGS = (
    Setting(
        "offline_policy",
        choice("mock", "replay", "record", "live"),
        "mock",
        "Who answers in place of a real provider's LM: `mock` a mock with its name, `live` the provider itself.",
    ),
    Setting(
        "default_lm",
        LM,
        None,
        "The LM where no other scope names one: a model such as `openai/gpt-4`, or an LM config.",
    ),
    Setting("cassettes", TEXT, "cassettes", "The folder of recordings, for the policies `replay` and `record`."),
    Setting(
        "record_mode",
        choice("once", "new_episodes", "all", "rewrite", "none"),
        "once",
        "What `record` does with cassettes that no client opens by name.",
    ),
    Setting(
        "record_staging",
        TEXT,
        None,
        "Where such recordings wait for a command to succeed; `dspex-testkit record` sets it.",
        flag=False,
        key=False,
    ),
    Setting(
        "model_aliases",
        PAIRS,
        (),
        "Models that are asked in place of others while recording, e.g. `gemini-1.5-flash=gemini-2.5-flash`.",
    ),
    Setting("log", LOG_TARGET, "off", "Where log lines and stray prints go: a path, `stderr` or `off`."),
    Setting(
        "log_level",
        choice("debug", "info", "warning", "error"),
        "info",
        "The least important lines that are logged.",
    ),
    Setting("strict", BOOLEAN, False, "Refuse an unusable signature instead of falling back to a simple one."),
    Setting(
        "dynamic_signatures",
        BOOLEAN,
        True,
        "Build the signatures that clients describe; off, every program is `question -> answer`.",
        env="DSPEX_DYNAMIC_SIGNATURES",
    ),
    Setting("max_frame_size", SIZE, DEFAULT_MAX_FRAME_SIZE, "Largest request in bytes, e.g. `64MiB`."),
    Setting("concurrency", COUNT, 64, "Executions that run at the same time in standalone mode."),
    Setting("journal_size", COUNT, 10_000, "LM calls that the journal remembers."),
    Setting(
        "journal_prompts",
        BOOLEAN,
        False,
        "Remember the prompts of the newest 1000 of these calls too, for tests; some kilobytes each.",
    ),
    Setting("session_ttl", SECONDS, 3600.0, "Seconds after its last use when a session is forgotten."),
    Setting("max_waiting", COUNT, 4096, "Executions that may wait for one that runs; more are refused."),
    Setting(
        "price_table",
        TEXT,
        "off",
        "A JSON file with prices per million tokens, which come before DSPy's list; `off` for none.",
    ),
    Setting(
        "response_cache",
        choice("off", "memory", "disk"),
        "off",
        "Whether and where answers of LMs are remembered whose config says nothing of it.",
    ),
    Setting("cache_dir", TEXT, "~/.cache/dspex-testkit/responses", "The folder of answers on disk."),
    Setting("cache_ttl", SECONDS, 30 * 24 * 3600.0, "Seconds for which an answer is remembered."),
    Setting("cache_size", SIZE, 64 * 1024 * 1024, "Bytes of remembered answers, in memory and on disk each."),
    Setting("seed", INTEGER, 0, "Seed of mocks that name none."),
    Setting(
        "derived",
        choice("allow", "fail"),
        "allow",
        "Whether mocks may make up what nobody gave an answer for, where their config does not say.",
    ),
    Setting(
        "allow_local_interpreter",
        BOOLEAN,
        False,
        "Let `program_of_thought` run a mock's code in a local Python process, which is no sandbox.",
    ),
    Setting("allow_crash", BOOLEAN, False, "Let the command `crash_worker` end the process, for chaos tests."),
    Setting(
        "allow_import",
        MODULES,
        (),
        "Module prefixes from which mocks may import functions, e.g. `myapp.mocks,tests.support`.",
    ),
    Setting("block_network", BOOLEAN, False, "Refuse connections to other machines, and looking up their names."),
    Setting("allow_hosts", NAMES, (), "Hosts that may be reached all the same, e.g. `api.openai.com,10.0.0.7`."),
    Setting(
        "host",
        choice("auto", "off"),
        "auto",
        "Whether bridges are forked from a warm host, where that is safe; `off` runs each in the launched process.",
    ),
    Setting(
        "pool",
        TEXT,
        "default",
        "Pool workers of one host with the same name here share their state; the harness gives each pool its own.",
    ),
    Setting(
        "host_linger",
        SECONDS,
        60.0,
        "Seconds that a warm host stays without a bridge; it ends with whoever starts bridges all the same.",
    ),
    Setting("config", TEXT, None, f"The settings file, in place of {FILE_NAME} beside the launcher.", key=False),
    Setting(
        "python",
        TEXT,
        None,
        "The interpreter that the launcher runs, in place of the one that installed it.",
        flag=False,
        key=False,
    ),
)
"""In the order in which help and the reference page show them."""

DEFAULTS: "dict[str, Any]" = {setting.name: setting.default for setting in SETTINGS}
"""What holds where nobody says anything, by name."""
