"""The arguments of commands: reading them, and naming those that nobody knows."""

from collections.abc import Mapping
from typing import Any

from dspex_testkit.calls import ANY_SESSION
from dspex_testkit.calls.journal import _AnySession
from dspex_testkit.errors import InvalidArgsError
from dspex_testkit.limits import LARGEST_COUNT, brief, span
from dspex_testkit.nearest import nearest_hint

ANONYMOUS = "anonymous"
"""The session name that DSPex's pool sends for callers without a session."""


class Args:
    """The arguments of one request. Null counts as absent."""

    __slots__ = ("command", "values")

    def __init__(self, command: str, values: Mapping[str, Any]) -> None:
        self.command = command
        self.values = values

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def get(self, name: str) -> Any:
        """The value, or None."""
        return self.values.get(name)

    def text(self, name: str) -> str | None:
        """A text, or None where absent.

        Raises:
            InvalidArgsError: Something else came.
        """
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value or None
        raise self._wrong(name, "a text", value)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A map; absent, null and the empty list (Elixir's empty keyword list) count as empty.

        Raises:
            InvalidArgsError: Something else came.
        """
        value = self.values.get(name)
        if value is None or value == []:
            return {}
        if isinstance(value, Mapping):
            return value
        raise self._wrong(name, "a map", value)

    def count(self, name: str, *, low: int = 0, high: int = LARGEST_COUNT) -> int | None:
        """An integer from `low` to `high`, or None where absent.

        Raises:
            InvalidArgsError: Something else came.
        """
        value = self.values.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
            return value
        raise self._wrong(name, span("an integer", low, high), value)

    def flag(self, name: str) -> bool:
        """True or false; absent counts as false.

        Raises:
            InvalidArgsError: Something else came.
        """
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self._wrong(name, "true or false", value)

    @property
    def session_id(self) -> str | None:
        """The named session, or None for callers without one (absent or `anonymous`)."""
        name = self.text("session_id")
        return None if name == ANONYMOUS else name

    @property
    def session_filter(self) -> "str | _AnySession | None":
        """What a listing covers: one session, the callers without one (`anonymous`), or everything (absent)."""
        return self.session_id if self.text("session_id") else ANY_SESSION

    def _wrong(self, name: str, wanted: str, came: object) -> InvalidArgsError:
        return InvalidArgsError(
            f"Invalid argument {name!r} of {self.command}: {wanted} was wanted, but {brief(came)} came",
            details={"argument": name, "wanted": wanted},
        )


_ANY_COMMAND = frozenset({"session_id", "worker_id", "id", "timestamp"})
"""What DSPex's pools add to a command whether it wants it or not."""

_LM = frozenset({"lm", "lm_config", "temperature", "api_key", "options"})
_OPTIONS = frozenset({"lm", "lm_config", "temperature", "api_key", "timeout_ms"})
_PROGRAM = frozenset({"program_id", "program_data"})
_EXECUTION = frozenset({"inputs", "timeout_ms", "from_session", *_LM, *_PROGRAM})
_DEFINITION = frozenset(
    {"signature", "instructions", "description", "program_type", "tools", "use_dynamic_signature", "lm_config"}
    # Sent by DSPex's adapters and tests; they say nothing to a bridge.
    | {"modules", "pool_name"}
)

_KNOWN: Mapping[str, frozenset[str]] = {
    command: _ANY_COMMAND | known
    for command, known in {
        "get_lm": _PROGRAM | _LM,
        "undefine_lm": {"name"},
        "get_costs": {"program_id"},
        "set_budget": {"program_id", "usd", "tokens", "calls"},
        "clear_cache": {"mode"},
        "use_cassette": {"name", "mode", "options"},
        "eject_cassette": {"passed"},
        "create_program": {"program_id"} | _DEFINITION,
        "create_gemini_program": {"model", "api_key"} | _DEFINITION,
        "get_program_info": _PROGRAM,
        "delete_program": _PROGRAM,
        "execute_program": _EXECUTION,
        "execute_gemini_program": _EXECUTION,
        # `benchmark` comes with the probes of DSPex's performance tests.
        "predict": {"input", "benchmark"} | _DEFINITION | _EXECUTION,
        "get_journal": {"program_id", "since", "limit", "prompts"},
        "update_session_data": {"operation", "key", "value"},
    }.items()
}
# Not here: `configure_lm` and `define_lm`, whose arguments are an LM config that is read with warnings of its own, and
# commands without arguments, such as `ping`, which DSPex sends with all kinds of marks.

NAMES: frozenset[str] = frozenset().union(*_KNOWN.values())
"""Every name that some command knows."""


def unknown_arguments(command: str, args: Mapping[str, Any]) -> list[str]:
    """A warning for each argument and each option that the command does not know."""
    known = _KNOWN.get(command)
    if known is None:
        return []
    warnings: list[str] = []
    if not known.issuperset(args):
        warnings += [_unknown(command, "argument", name, known) for name in args if name not in known]
    options = args.get("options") if known >= _LM else None
    if isinstance(options, Mapping) and not _OPTIONS.issuperset(options):
        warnings += [_unknown(command, "option", name, _OPTIONS) for name in options if name not in _OPTIONS]
    return warnings


def _unknown(command: str, what: str, name: str, known: frozenset[str]) -> str:
    return f"{command} knows no {what} {name!r}{nearest_hint(name, known)}; it was ignored"


def with_warnings(result: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    """The result with further warnings added, each of them once."""
    if not warnings:
        return result
    # A program may have an output of that name, which then is found among the outputs only.
    told = () if "warnings" in result.get("outputs", ()) else result.get("warnings", ())
    return {**result, "warnings": list(dict.fromkeys([*told, *warnings]))}
