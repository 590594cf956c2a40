"""No other room reaches into DSPy's inside, and this one reaches into no other room."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import dspex_testkit

PACKAGE = Path(dspex_testkit.__file__).parent
ROOM = PACKAGE / "dspy_internals"
PUBLIC = ("dspy", "dspy.lm15")


def imports_of(file: Path) -> Iterator[tuple[str, str]]:
    """Module and name of each import of a file, imports inside functions included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from ((node.module, alias.name) for alias in node.names)


def test_no_other_room_imports_what_dspy_does_not_publish() -> None:
    """Elsewhere only `dspy` and `dspy.lm15` are imported, and only names that they publish."""
    found = [
        f"{file.relative_to(PACKAGE)}: {module} {name}"
        for file in sorted(PACKAGE.rglob("*.py"))
        if ROOM not in file.parents
        for module, name in imports_of(file)
        if module.split(".")[0] == "dspy" and not _is_public(module, name)
    ]
    assert found == []


def test_the_room_stands_on_the_errors_alone() -> None:
    """What happens at a seam is handed in, so nothing of the rooms above is imported."""
    allowed = ("dspex_testkit.errors", "dspex_testkit.dspy_internals")
    found = [
        f"{file.name}: {module}"
        for file in sorted(ROOM.glob("*.py"))
        for module, _ in imports_of(file)
        if module.startswith("dspex_testkit") and not module.startswith(allowed)
    ]
    assert found == []


@pytest.mark.parametrize("file", sorted(path.stem for path in ROOM.glob("*.py") if path.stem != "__init__"))
def test_every_file_has_its_canaries(file: str) -> None:
    """A test module of the same name stands in `tests/dspy_internals`, or imports the file."""
    tests = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    assert any(f"dspy_internals.{file}" in text or f"dspy_internals import {file}" in text for text in tests)


def _is_public(module: str, name: str) -> bool:
    if module not in PUBLIC:
        return False
    return not name or hasattr(importlib.import_module(module), name)
