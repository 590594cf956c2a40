"""Cassettes as YAML: readable when written, harmless when read."""

from typing import Any

import yaml

from dspex_testkit.errors import CassetteFormatError

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
        CassetteFormatError: The text is no YAML, or has a tag that asks for an object.
    """
    try:
        return yaml.load(text, Loader=_SafeLoader)
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


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" in line {mark.line + 1}" if mark is not None else ""
