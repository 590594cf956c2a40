r"""Regular expressions that a client sends: what they mean to `re`, and no more than a bounded effort.

`^(a+)+$` keeps `re` busy for years, and holds the interpreter while it does. What comes in by a client's door (the
arguments of a bridge's commands, the simulator's admin API, the schemas in prompts) is therefore compiled by `bounded`,
for the engine of `regex`, which can be told to stop. The door decides, not the type: what a test says in its own
process, as a text or compiled, is its own affair and keeps all of `re`.

The pattern is read by `re` first, so that its errors are the usual ones, and then translated where the engines differ:
braces that are no quantifier (`a{e<=1}` would be a fuzzy match), brackets within a set. `regex` writes repetitions out
when it compiles, so they are counted before. What remains different is rare: `\w` also finds combining marks.
"""

import re
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from dspex_testkit.errors import UnusablePatternError
from dspex_testkit.limits import NESTING, PATTERN_LENGTH, PATTERN_SECONDS, PATTERN_SIZE, SEARCHED_TEXT, brief

_REFILL = 0.25
"""Seconds of search that a pattern gets back in a second."""
_PER_CHARACTER = 2e-7
"""Seconds that it gets for each character; what is linear needs less."""
_LEAST = 0.001
"""Seconds that it always has, so that the next text is searched after one took too long."""
_QUANTIFIER = re.compile(r"\{(\d*)(,?)(\d*)\}")
_VERBOSE = re.compile(r"\(\?[aimsu]*x")


class BoundedPattern:
    """A compiled pattern that gives up when its time is over; used like a `re.Pattern`.

    Args:
        pattern: The regular expression, as `re` understands it.
        flags: Of `re`.

    Raises:
        UnusablePatternError: It is none, or too large.
    """

    def __init__(self, pattern: str, flags: int = 0) -> None:
        import regex

        self.pattern = pattern
        self.flags = flags
        translated = _translated(pattern, flags)
        try:
            self._compiled: Any = regex.compile(translated, flags | regex.V0)
        except (regex.error, RecursionError, OverflowError, ValueError) as error:
            raise UnusablePatternError(f"{brief(pattern)} cannot be used as a regular expression: {error}") from None
        self._credit = PATTERN_SECONDS
        self._at = time.monotonic()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundedPattern) and (self.pattern, self.flags) == (other.pattern, other.flags)

    def __hash__(self) -> int:
        return hash((self.pattern, self.flags))

    def __repr__(self) -> str:
        return f"BoundedPattern({self.pattern!r})"

    def search(self, text: str) -> Any:
        """The first match, or None.

        Raises:
            UnusablePatternError: The text is too long, or the time is over.
        """
        return self._within_time(text, lambda seconds: self._compiled.search(text, timeout=seconds))

    def sub(self, replacement: str, text: str) -> str:
        """The text with each match replaced.

        Raises:
            UnusablePatternError: The text is too long, or the time is over.
        """
        # A function, because the replacement is meant as it is written.
        found: str = self._within_time(
            text, lambda seconds: self._compiled.sub(lambda _: replacement, text, timeout=seconds)
        )
        return found

    def finditer(self, text: str) -> Iterator[Any]:
        """All matches.

        Raises:
            UnusablePatternError: The text is too long, or the time is over.
        """
        return iter(self._within_time(text, lambda seconds: list(self._compiled.finditer(text, timeout=seconds))))

    def _within_time(self, text: str, search: Callable[[float], Any]) -> Any:
        if len(text) > SEARCHED_TEXT:
            raise UnusablePatternError(
                f"A text of {len(text)} characters is not searched for {brief(self.pattern)}: {SEARCHED_TEXT} at most",
                details={"pattern": self.pattern, "most": SEARCHED_TEXT},
            )
        now = time.monotonic()
        refilled = self._credit + (now - self._at) * _REFILL + len(text) * _PER_CHARACTER
        self._credit, self._at = min(PATTERN_SECONDS, refilled), now
        begun = time.thread_time()
        try:
            return search(max(self._credit, _LEAST))
        except TimeoutError:
            raise UnusablePatternError(
                f"The regular expression {brief(self.pattern)} ran out of its {PATTERN_SECONDS:g} s, on a text of "
                f"{len(text)} characters. Repetitions within repetitions, such as (a+)+, take most; write it without.",
                details={"pattern": self.pattern, "characters": len(text)},
            ) from None
        finally:
            self._credit = max(0.0, self._credit - (time.thread_time() - begun))


AnyPattern = re.Pattern[str] | BoundedPattern


@lru_cache(maxsize=1024)
def bounded(pattern: str, flags: int = 0) -> BoundedPattern:
    """The pattern of a client, compiled; equal ones share their time.

    Raises:
        UnusablePatternError: It is none, or too large.
    """
    return BoundedPattern(pattern, flags)


def check_size(pattern: str) -> None:
    """Make sure that a text can be made up for a pattern.

    Raises:
        UnusablePatternError: It is no regular expression, or too large.
    """
    _translated(pattern, 0)


def _translated(pattern: str, flags: int) -> str:
    """The pattern as `regex` spells it, once `re` has read it."""
    if len(pattern) > PATTERN_LENGTH:
        raise UnusablePatternError(
            f"A regular expression has {PATTERN_LENGTH} characters at most, and {brief(pattern)} has {len(pattern)}",
            details={"most": PATTERN_LENGTH},
        )
    if flags & re.VERBOSE or _VERBOSE.search(pattern):
        raise UnusablePatternError(f"{brief(pattern)}: a verbose regular expression, (?x), cannot be sent")
    try:
        with warnings.catch_warnings():
            # Of sets in sets, which are translated.
            warnings.simplefilter("ignore")
            re.compile(pattern, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise UnusablePatternError(f"{brief(pattern)} is no regular expression: {error}") from None
    return _Scanner(pattern).scan()


class _Scanner:
    """Copies a pattern and counts how long it is with its repetitions written out."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._sizes = [0]
        """Of the groups that are open, outermost first."""
        self._last = 0
        """Of what a quantifier would repeat."""

    def scan(self) -> str:
        written, at = [], 0
        while at < len(self._pattern):
            piece, at = self._piece(at)
            written.append(piece)
            if sum(self._sizes) > PATTERN_SIZE or len(self._sizes) > NESTING:
                raise UnusablePatternError(
                    f"{brief(self._pattern)} is too large: with its repetitions written out a regular expression has "
                    f"{PATTERN_SIZE} characters, and {NESTING} groups in each other, at most",
                    details={"pattern": self._pattern, "most": PATTERN_SIZE},
                )
        return "".join(written)

    def _piece(self, at: int) -> tuple[str, int]:
        pattern, character = self._pattern, self._pattern[at]
        if character == "\\":
            end = pattern.index("}", at) + 1 if pattern.startswith("\\N{", at) else at + 2
            return self._atom(pattern[at:end]), end
        if character == "[":
            return self._set(at)
        if pattern.startswith("(?#", at):
            return "", pattern.index(")", at) + 1
        if character == "(":
            self._sizes.append(1)
            self._last = 0
        elif character == ")" and len(self._sizes) > 1:
            self._last = self._sizes.pop()
            self._sizes[-1] += self._last
        elif character == "{":
            return self._braces(at)
        elif character not in "*+?":
            return self._atom("\\}" if character == "}" else character), at + 1
        return character, at + 1

    def _atom(self, text: str) -> str:
        self._sizes[-1] += 1
        self._last = 1
        return text

    def _set(self, at: int) -> tuple[str, int]:
        pattern, end = self._pattern, at + 1
        end += pattern.startswith("^", end)
        written = [pattern[at:end]]
        first = True
        while first or pattern[end] != "]":
            first = False
            step = 2 if pattern[end] == "\\" else 1
            piece = pattern[end : end + step]
            written.append("\\" + piece if piece in ("[", "]") else piece)
            end += step
        return self._atom("".join(written) + "]"), end + 1

    def _braces(self, at: int) -> tuple[str, int]:
        found = _QUANTIFIER.match(self._pattern, at)
        if found is None or found[0] == "{}":
            return self._atom("\\{"), at + 1
        low, comma, high = found.groups()
        times = max(int(low or 0), int(high or 0), 1)
        self._sizes[-1] += self._last * (times - 1)
        self._last *= times
        if comma and not high:
            return (f"{{{low},}}" if low else "*"), found.end()
        return f"{{{low or 0}{comma}{high}}}", found.end()
