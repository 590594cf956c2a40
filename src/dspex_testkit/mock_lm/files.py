"""Specs in files: JSON, TOML or YAML by the file's name."""

import json
import tomllib
from pathlib import Path
from typing import Any

from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.mock_lm.spec import MockSpec, parse_mock_spec

_KINDS = (".json", ".toml", ".yaml", ".yml")


def load_mock_spec(path: str | Path) -> MockSpec:
    """Read a mock's spec from a file.

    Raises:
        InvalidMockSpecError: The file cannot be read, or what it holds is no spec.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidMockSpecError(f"The mock's spec {str(path)!r} cannot be read: {error.strerror}.") from error
    try:
        return parse_mock_spec(_read(text, path.suffix.lower()))
    except InvalidMockSpecError as error:
        raise InvalidMockSpecError(f"{path}: {error.message}", details=error.details) from error
    except ValueError as error:
        raise InvalidMockSpecError(f"{path} is not valid {path.suffix[1:].upper()}: {error}") from error


def _read(text: str, suffix: str) -> Any:
    if suffix == ".json":
        return json.loads(text)
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix in (".yaml", ".yml"):
        # Comes with dspy's own requirements.
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
    raise InvalidMockSpecError(f"a spec's file ends in one of {', '.join(_KINDS)}, not {suffix!r}")
