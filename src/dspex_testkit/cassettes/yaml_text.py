"""Cassettes as YAML: readable when written, harmless when read."""

import re
from typing import Any
from uuid import uuid4

import yaml

from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.limits import NESTING, is_too_deep

try:
    from yaml import CSafeDumper as _SafeDumper
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeDumper as _SafeDumper  # type: ignore[assignment]
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]


_HALF_PAIR = re.compile("[\ud800-\udfff]")


def without_half_pairs(text: str) -> str:
    """JSON with halves of surrogate pairs escaped: alone they can be neither encoded nor written as YAML."""
    return _HALF_PAIR.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


class OneLine(dict[Any, Any]):
    """A map that is written in one line."""


class OneLineList(list[Any]):
    """A list that is written in one line."""


class _Dumper(_SafeDumper):
    """Writes long texts as blocks of lines and repeats values instead of referring to them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _PureDumper(yaml.SafeDumper):
    """The same in Python: libyaml can neither write nor read half of a surrogate pair."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


for _each in (_Dumper, _PureDumper):
    _each.add_representer(str, _represent_text)
    _each.add_representer(
        OneLine,
        lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", dict(value), flow_style=True),
    )
    _each.add_representer(
        OneLineList,
        lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", list(value), flow_style=True),
    )

_BASE64 = re.compile(r"(?:data:[\w.+/-]+;base64,)?[A-Za-z0-9+/_-]{160,}={0,2}")
_WIDTH = 100


def dump(document: Any) -> str:
    """A document as YAML.

    Lines of text are never folded: a folded text can neither be searched nor compared by eye. Base64 is, as nobody
    reads it, and a tool that shows lines chokes on one of a megabyte.
    """
    mark = f"base64.{uuid4().hex}."
    wrapped: list[str] = []
    document = _set_apart(document, mark, wrapped)
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 2**30}
    try:
        text = str(yaml.dump(document, Dumper=_Dumper, **options))
    except UnicodeEncodeError:
        text = str(yaml.dump(document, Dumper=_PureDumper, **options))
    if not wrapped:
        return text
    place = re.compile(f"{re.escape(mark)}([0-9]+)$")
    return "\n".join(_with_base64(line, place, wrapped) for line in text.split("\n"))


def _set_apart(value: Any, mark: str, wrapped: list[str]) -> Any:
    if isinstance(value, str):
        if len(value) < 160 or not _BASE64.fullmatch(value):
            return value
        wrapped.append(value)
        return f"{mark}{len(wrapped) - 1}"
    if type(value) is dict:
        return {key: _set_apart(item, mark, wrapped) for key, item in value.items()}
    return [_set_apart(item, mark, wrapped) for item in value] if type(value) in (list, tuple) else value


def _with_base64(line: str, place: re.Pattern[str], wrapped: list[str]) -> str:
    if (found := place.search(line)) is None:
        return line
    text = wrapped[int(found.group(1))]
    indent = " " * (len(line) - len(line.lstrip(" ")) + 4)
    pieces = [text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    # A backslash at the end of a line of a quoted text: nothing stands between it and the next line.
    return line[: found.start()] + '"' + f"\\\n{indent}".join(pieces) + '"'


def load(text: str, *, path: object) -> Any:
    """Read YAML without building any object.

    Raises:
        CassetteFormatError: The text is no YAML, has a tag that asks for an object, an alias, or too many levels.
    """
    try:
        if _MAY_BE_AN_ALIAS.search(text):
            _refuse_aliases(text, path)
        try:
            value = yaml.load(text, Loader=_SafeLoader)
        except yaml.scanner.ScannerError as error:
            if "Unicode character escape" not in str(error):
                raise
            value = yaml.load(text, Loader=yaml.SafeLoader)
    except yaml.constructor.ConstructorError as error:
        raise CassetteFormatError(
            f"{path} was not loaded: {error.problem}{_line(error)}. A cassette holds plain data only.",
            details={"path": str(path)},
        ) from error
    except yaml.YAMLError as error:
        raise CassetteFormatError(
            f"{path} is not YAML, or was cut short: {getattr(error, 'problem', None) or error}{_line(error)}. "
            "Bring it back from version control, or record it again.",
            details={"path": str(path)},
        ) from error
    except (ValueError, RecursionError) as error:
        raise CassetteFormatError(f"{path} was not loaded: {error}", details={"path": str(path)}) from error
    if is_too_deep(value):
        raise CassetteFormatError(
            f"{path} was not loaded: its lists and maps are nested deeper than {NESTING} levels, which no recording is",
            details={"path": str(path)},
        )
    return value


# Most texts hold no such asterisk at all, and need be read only once.
_MAY_BE_AN_ALIAS = re.compile(r"(?:^|[\s,:\[{?-])\*[^\s,\[\]{}*]")


def _refuse_aliases(text: str, path: object) -> None:
    """A few lines of aliases to aliases stand for more than there is memory; whoever writes cassettes writes none."""
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else "?"
            raise CassetteFormatError(
                f"{path} was not loaded: it has the alias *{event.anchor} in line {line}, and a "
                "cassette holds each value where it belongs. Write the value there, or record the cassette again.",
                details={"path": str(path)},
            )


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" in line {mark.line + 1}" if mark is not None else ""
