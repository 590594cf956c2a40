"""Typed access to the arguments of a request, with errors that say what was wanted and what came."""

from collections.abc import Mapping
from typing import Any

from dspex_testkit.calls import ANY_SESSION
from dspex_testkit.calls.journal import _AnySession
from dspex_testkit.errors import InvalidArgsError
from dspex_testkit.limits import LARGEST_COUNT, brief, span

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
