"""What a bridge is told at its start.

A setting comes from the command line, else from the environment, else from ``dspex_testkit.toml`` beside the
launcher, else from its default. DSPex passes no flags of its own, so everything can be said in the environment or in
the file. Help, reference page and errors are made from the same table (`setting_table`).
"""

import os

from dspex_testkit.errors import UsageError
from dspex_testkit.setting_table import ENV_PREFIX, FILE_NAME, SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from dspex_testkit.bridge.settings import BridgeSettings
    from dspex_testkit.setting_table import Setting


class Settings:
    """The values of one process, already checked; attributes are named as in the table.

    Args:
        values: One per row of the table.
        sources: Where each came from: ``--flag``, a variable, ``file:key`` or ``default``.
        warnings: What is probably a mistake, but not certainly.
    """

    # Those that the process itself reads; the rest is the bridge's.
    offline_policy: str
    log: str
    log_level: str
    max_frame_size: int
    concurrency: int
    journal_size: int
    session_ttl: float
    max_waiting: int
    block_network: bool
    allow_hosts: "tuple[str, ...]"
    host: str
    pool: str
    host_linger: float

    def __init__(self, values: "Mapping[str, Any]", sources: "Mapping[str, str]", warnings: "list[str]") -> None:
        self.__dict__.update(values)
        self.values = values
        self.sources = sources
        self.warnings = warnings

    def for_bridge(self) -> "BridgeSettings":
        """The part that the bridge itself wants to know."""
        from dspex_testkit.bridge.settings import BridgeSettings

        return BridgeSettings.of(self.values)


def load(
    flags: "Mapping[str, str] | None" = None,
    *,
    environ: "Mapping[str, str] | None" = None,
    home: "str | None" = None,
) -> Settings:
    """Collect the settings of this process.

    Args:
        flags: Values given on the command line, by setting name.
        environ: The environment; that of the process if None.
        home: The launcher's folder, where the settings file is looked for.

    Raises:
        UsageError: A value is wrong, the file names a setting that is none, or the file cannot be read.
    """
    flags = flags or {}
    environ = os.environ if environ is None else environ
    path, named = _file_path(flags, environ, home)
    table = _read_file(path, named=named) if path else {}
    _refuse_unknown(table, path)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        name = setting.name
        if name in flags:
            values[name], sources[name] = _checked(setting, flags[name], setting.flag or name)
        elif environ.get(setting.env):  # a variable that is empty counts as unset, as everywhere in a shell
            values[name], sources[name] = _checked(setting, environ[setting.env], setting.env)
        elif name in table:
            value = table[name]
            if name == "log" and isinstance(value, str) and value not in ("off", "stderr"):
                value = os.path.join(os.path.dirname(path or ""), os.path.expanduser(value))
            values[name], sources[name] = _checked(setting, value, f"{path}: {name}")
        else:
            values[name], sources[name] = setting.default, "default"
    return Settings(values, sources, _strange_variables(environ))


def _file_path(
    flags: "Mapping[str, str]", environ: "Mapping[str, str]", home: "str | None"
) -> "tuple[str | None, bool]":
    """The settings file, and whether somebody asked for it by name."""
    named = flags.get("config") or environ.get(ENV_PREFIX + "CONFIG")
    if named:
        return os.path.abspath(os.path.expanduser(named)), True
    return (os.path.join(home, FILE_NAME), False) if home else (None, False)


def _read_file(path: str, *, named: bool) -> "dict[str, Any]":
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        if named:
            raise UsageError(f"the settings file {path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the settings file {path} cannot be read: {error}") from None
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return {}  # as installed; a TOML parser would cost more than the rest of the start
    simple = _read_simple(text)
    if simple is not None:
        return simple
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the settings file {path} is not TOML: {error}") from None


def _read_simple(text: str) -> "dict[str, Any] | None":
    """Read lines of ``key = "plain string"``, integer or boolean; None where only a TOML parser can tell."""
    table: dict[str, Any] = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, _, value = line.partition("=")
        key, value = key.rstrip(), value.lstrip()
        if not (key.isidentifier() and key.isascii()) or key in table:
            return None
        if value in ("true", "false"):
            table[key] = value == "true"
        elif value.isdecimal() and value.isascii() and (value == "0" or value[0] != "0"):
            table[key] = int(value)
        elif len(value) > 1 and value[0] == value[-1] == '"' and not {'"', "\\"} & set(value[1:-1]):
            if not value.isprintable():
                return None
            table[key] = value[1:-1]
        else:
            return None
    return table


def _refuse_unknown(table: "Mapping[str, Any]", path: "str | None") -> None:
    known = {setting.key for setting in SETTINGS if setting.key}
    for key in table:
        if key not in known:
            hint = _nearest(key, known)
            raise UsageError(
                f"{path}: there is no setting {key!r}{hint}; the settings are {', '.join(sorted(known))}",
                details={"file": path, "key": key},
            )


def _checked(setting: "Setting", value: "Any", source: str) -> "tuple[Any, str]":
    try:
        return setting.kind.read(value), source
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        # An LM config may hold an API key, so what came is not shown there.
        came = "something else" if setting.name == "default_lm" else _shown(value)
        hint = _nearest(value, setting.kind.choices) if isinstance(value, str) else ""
        raise UsageError(
            f"{source}: wanted {setting.kind.wanted}, got {came}{hint}", details={"setting": setting.name}
        ) from None


def _shown(value: "Any") -> str:
    """What came, without the credentials that an address may hold."""
    from dspex_testkit.redaction import Redactor, Secret, Secrets, secrets_by_place

    return Redactor(Secrets(map(Secret, secrets_by_place(value)))).text(repr(value))


def _strange_variables(environ: "Mapping[str, str]") -> "list[str]":
    known = {setting.env for setting in SETTINGS}
    strange = [name for name in environ if name.startswith(ENV_PREFIX) and name not in known]
    return [f"the variable {name} is no setting{_nearest(name, known)}" for name in sorted(strange)]


def _nearest(name: str, candidates: "Iterable[str]") -> str:
    from dspex_testkit.nearest import nearest_hint  # it loads difflib, and few settings are mistyped

    return nearest_hint(name, candidates)
