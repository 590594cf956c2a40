"""Reads a type from a text: `list<string>`, `Dict[str, int]`, `Optional[T]`, `A|B`, `Literal["a", "b"]`, `enum<a|b>`.

A type is one single type or several, separated by `|`. A single type is a name, alone or with parameters in `<…>` or
`[…]`, separated by commas. The parameters of `literal` and `enum` are choices: quoted texts, or bare words of which
numbers, true, false and null are read as such.
"""

import re

from dspex_testkit.bridge.signatures.type_names import GENERICS, NAMES, unknown_type
from dspex_testkit.bridge.signatures.types import NULL, Scalar, TypeExpr, dict_of, enum_of, list_of, union_of
from dspex_testkit.errors import UnknownTypeError
from dspex_testkit.limits import NESTING

MAX_LENGTH = 16_384
# Looser, as is the nesting, than what TypeExpr.check_size allows: a canonical spelling can always be read again.
_MAX_NAMES = 1024

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_MODULES = ("typing.", "t.", "datetime.", "decimal.")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'', re.DOTALL)
_BARE = re.compile(r"[^,|<>\[\]\"']+")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_FLOAT = re.compile(r"-?[0-9]{1,18}\.[0-9]{1,18}")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None, "none": None, "nil": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_CLOSING = {"<": ">", "[": "]"}


def parse_spelling(text: str) -> TypeExpr:
    """The type that a text spells; case does not matter.

    Raises:
        UnknownTypeError: The text spells none, or is too long; the message names the nearest known spelling.
    """
    if len(text) > MAX_LENGTH:
        raise UnknownTypeError(f"a type is spelled in at most {MAX_LENGTH} characters, and this one has {len(text)}")
    reader = _Reader(text)
    expr = reader.type(0)
    if reader.peek():
        raise unknown_type(text)
    return expr.check_size()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._names = 0

    def peek(self) -> str:
        """The next character that is not space; empty at the end."""
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches the empty text too
        return self._text[self._at : self._at + 1]

    def type(self, depth: int) -> TypeExpr:
        parts = [self._single(depth)]
        while self._took("|"):
            parts.append(self._single(depth))
        return union_of(parts)

    def _took(self, character: str) -> bool:
        if self.peek() != character:
            return False
        self._at += 1
        return True

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self.peek()
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _single(self, depth: int) -> TypeExpr:
        found = self._match(_NAME)
        self._names += 1
        if found is None or depth > NESTING or self._names > _MAX_NAMES:
            raise unknown_type(self._text)
        head = found[0].lower()
        for module in _MODULES:
            head = head.removeprefix(module)
        opening = self.peek()
        if opening not in _CLOSING:
            if head not in NAMES:
                raise unknown_type(found[0])
            return NAMES[head]
        if head not in GENERICS:
            raise unknown_type(found[0])
        self._at += 1
        expr = enum_of(self._choices()) if head in ("literal", "enum") else self._generic(head, depth)
        if not self._took(_CLOSING[opening]):
            raise unknown_type(self._text)
        return expr

    def _generic(self, head: str, depth: int) -> TypeExpr:
        args = [self.type(depth + 1)]
        while self._took(","):
            args.append(self.type(depth + 1))
        match head, args:
            case "union", _:
                return union_of(args)
            case "optional", [inner]:
                return union_of([inner, NULL])
            case (("list" | "array"), [items]):
                return list_of(items)
            case (("dict" | "map" | "object"), [keys, values]):
                return dict_of(keys, values)
            case _:
                raise UnknownTypeError(f"{head} does not take {len(args)} parameter(s): {self._text[:60]!r}")

    def _choices(self) -> list[Scalar]:
        choices = [self._choice()]
        while self._took(",") or self._took("|"):
            choices.append(self._choice())
        return choices

    def _choice(self) -> Scalar:
        if quoted := self._match(_QUOTED):
            text = quoted[1] if quoted[1] is not None else quoted[2]
            return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), text, flags=re.DOTALL)
        bare = self._match(_BARE)
        if bare is None:
            raise unknown_type(self._text)
        word = bare[0].strip()
        if _INTEGER.fullmatch(word):
            return int(word)
        if _FLOAT.fullmatch(word):
            return float(word)
        return _WORDS.get(word.lower(), word)
