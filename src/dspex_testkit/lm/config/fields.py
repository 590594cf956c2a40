"""Reading single values of an LM config, with errors that say what was wanted."""

from collections.abc import Mapping
from typing import Any

from dspex_testkit.errors import InvalidLMConfigError
from dspex_testkit.limits import brief, span


def read_text(flat: Mapping[str, Any], key: str) -> str | None:
    """A text, or None where absent or empty.

    Raises:
        InvalidLMConfigError: Something else came.
    """
    value = flat.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidLMConfigError(f"{key} must be a text, but {brief(value)} came")
    return value


def read_map(flat: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A map; absent and the empty list count as empty.

    Raises:
        InvalidLMConfigError: Something else came.
    """
    value = flat.get(key)
    if value is None or value == []:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidLMConfigError(f"{key} must be a map, but {brief(value)} came")
    return value


def read_count(flat: Mapping[str, Any], key: str, *, low: int, high: int | None = None) -> int | None:
    """An integer within bounds, or None where absent.

    Raises:
        InvalidLMConfigError: Something else came.
    """
    value = flat.get(key)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high):
        return value
    wanted = f"an integer of at least {low}" if high is None else span("an integer", low, high)
    raise InvalidLMConfigError(f"{key} must be {wanted}, but {brief(value)} came")
