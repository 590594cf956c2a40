"""Cassettes as YAML: readable when written, harmless when read."""

import re
from typing import Any

import yaml

from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.limits import NESTING, is_too_deep

try:
    from yaml import CSafeDumper as _SafeDumper
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeDumper as _SafeDumper  # type: ignore[assignment]
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]


class _Dumper(_SafeDumper):
    """Writes long texts as blocks of lines and repeats values instead of referring to them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def dump(document: Any) -> str:
    """A document as YAML. Lines are never folded: a folded text can neither be searched nor compared by eye."""
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**30))


def load(text: str, *, path: object) -> Any:
    """Read YAML without building any object.

    Raises:
        CassetteFormatError: The text is no YAML, has a tag that asks for an object, an alias, or too many levels.
    """
    try:
        if _MAY_BE_AN_ALIAS.search(text):
            _refuse_aliases(text, path)
        value = yaml.load(text, Loader=_SafeLoader)
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
