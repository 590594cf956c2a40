"""What a client may ask for at most: every bound that keeps one request from stopping everybody else's, said once.

What goes beyond is an error that names the bound and the value. `docs/reference/limits.md` has them as a table, which
a test compares with this file. Bounds that a setting moves (the size of a frame, executions in flight) are settings.
"""

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

NESTING: "Final" = 100
"""Levels of lists and maps in anything that a client sends: arguments, specs, schemas, cassettes, bodies."""
TYPE_LEVELS: "Final" = 16
"""Levels of a field's type; each takes up to three of its JSON."""
LARGEST_COUNT: "Final" = 2**63 - 1
"""A count: tokens and calls of a budget, parameters of an LM."""
LONGEST_WAIT_MS: "Final" = 24 * 3_600_000
"""Milliseconds that an answer, a token, a stall or a retry is waited for."""
LONGEST_TIMEOUT_MS: "Final" = 2**31 - 1
"""Milliseconds of a deadline."""
LONGEST_TTL_S: "Final" = 10 * 365 * 24 * 3600
"""Seconds for which an answer is remembered."""
LARGEST_BUDGET_USD: "Final" = 10**12
"""US dollars of a budget, of a cost, and per million tokens."""
LONGEST_TEXT: "Final" = 1_000_000
"""Characters that a schema or a field's constraint may ask of a text that is made up."""
MOST_ITEMS: "Final" = 10_000
"""Items that a schema or a field's constraint may ask of a list or map that is made up."""
MOST_PARTS: "Final" = 100_000
"""Values within one answer that is made up."""
MOST_CHARACTERS: "Final" = 10_000_000
"""Characters within one answer that is made up."""
TOP_LOGPROBS: "Final" = 20
"""Alternatives per token that a simulated provider lists."""
PATTERN_LENGTH: "Final" = 1_000
"""Characters of a regular expression."""
PATTERN_SIZE: "Final" = 10_000
"""Characters of a regular expression with its repetitions written out: `(?:ab){100}` are 200."""
SEARCHED_TEXT: "Final" = 4_000_000
"""Characters of a text that is searched by a regular expression."""
PATTERN_SECONDS: "Final" = 1.0
"""Seconds that a regular expression may search."""


def is_number(value: "Any", low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether a JSON value is a number within bounds, and one that a float can be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_LARGEST <= value <= _LARGEST and low <= value <= high


_LARGEST = 1.7976931348623157e308


def is_too_deep(value: "Any") -> bool:
    """Whether lists and maps lie in each other more than `NESTING` levels deep."""
    level = [value]
    for _ in range(NESTING):
        inner: list[Any] = []
        for container in level:
            inner += [item for item in _items(container) if isinstance(item, list | tuple | dict)]
        if not inner:
            return False
        level = inner
    return True


def _items(container: "Any") -> "Any":
    return (
        container.values() if isinstance(container, dict) else container if isinstance(container, list | tuple) else ()
    )


def span(noun: str, low: float, high: float) -> str:
    """What numbers are wanted: ``an integer from 1 to 128``; a bound that nobody means to reach is said after."""
    if high < LONGEST_TIMEOUT_MS / 1000:
        return f"{noun} from {low} to {high}"
    return f"{noun} of at least {low}, and {high} at most"


def json_kind(value: "Any") -> str:
    """What came, in JSON's words: for errors about a value that is of another kind than is wanted."""
    if value is None:
        return "null"
    return next((name for types, name in _KINDS if isinstance(value, types)), f"a {type(value).__name__}")


_KINDS: "Final[tuple[tuple[Any, str], ...]]" = (
    (bool, "a boolean"),
    (int | float, "a number"),
    (str, "a text"),
    (dict, "an object"),
    (list | tuple, "a list"),
)


def brief(value: "Any") -> str:
    """A value for an error message: null, true and false as JSON has them, texts in quotes; cut where it is long."""
    try:
        text = _written(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or what is nested too deeply
        return f"{json_kind(value)} that cannot be shown"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _written(value: "Any") -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if type(value) is dict:
        return f"{{{', '.join(f'{_written(key)}: {_written(item)}' for key, item in value.items())}}}"
    if type(value) is list:
        return f"[{', '.join(map(_written, value))}]"
    return repr(value)


_SHOWN = 200
"""Characters of a value that an error message shows."""
