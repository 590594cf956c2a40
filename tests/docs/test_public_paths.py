"""Where things are imported from: every path that the pages show, and those that programs written before still name."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex_testkit.cassettes import open_cassette
from dspex_testkit.mock_lm import MockLM

ROOT = Path(__file__).parents[2]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "elixir" / "README.md")
_IMPORT = re.compile(
    r"^ *(?:>>> |\.\.\. )?((?:from|import) dspex_testkit[\w.]*(?: import [^(#\n`]+| import \([^)]+\))?)", re.M
)


def imports_of(page: str) -> Iterator[tuple[str, str | None]]:
    """Module and name of each import that a page shows; what a recipe adds, its own test follows."""
    for written in _IMPORT.findall(page):
        statement = re.sub(r"^\s*(?:>>>|\.\.\.)", "", written, flags=re.M)
        for node in ast.parse(statement.strip()).body:
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                yield from ((node.module, alias.name) for alias in node.names)


SHOWN = sorted(
    {
        (module, name or "")
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for module, name in imports_of(page.read_text("utf-8"))
    }
)


@pytest.mark.parametrize(("module", "name"), SHOWN)
def test_what_the_pages_import_is_there(module: str, name: str) -> None:
    """By the very words of the page, also where its block is not executed."""
    found = import_module(module)
    assert not name or hasattr(found, name) or import_module(f"{module}.{name}")


def test_imports_of_pages_are_found() -> None:
    """The measure itself: in code, in a session, in brackets."""
    page = (
        "```python\nfrom dspex_testkit import MockLM\n>>> import dspex_testkit.mock_lm\n"
        "from dspex_testkit.pool import (\n    BridgePool,\n    STANDALONE,\n)\n```\n"
    )
    assert set(imports_of(page)) == {
        ("dspex_testkit", "MockLM"),
        ("dspex_testkit.mock_lm", None),
        ("dspex_testkit.pool", "BridgePool"),
        ("dspex_testkit.pool", "STANDALONE"),
    }
    assert len(SHOWN) > 10


def test_programs_that_were_saved_with_their_lm_name_classes_that_are_there(tmp_path: Path) -> None:
    """DSPy writes a class's path into the file, so that path stays."""
    lms: dict[str, Any] = {"dspex_testkit.mock_lm.lm.MockLM": MockLM({"responses": {"default": "saved"}})}
    with open_cassette(tmp_path / "calls.yaml", "once") as cassette:
        predict = dspy.Predict("question -> answer")
        recording = cassette.lm_for(MockLM({"responses": {"default": "saved"}}))
        with dspy.context(lm=recording):
            predict(question="?")
    with open_cassette(tmp_path / "calls.yaml", "none") as cassette:
        lms["dspex_testkit.cassettes.lm.CassetteLM"] = cassette.lm_for()
        for path, lm in lms.items():
            module, _, name = path.rpartition(".")
            assert type(lm).__name__ == name
            assert type(lm) is getattr(import_module(module), name)
            assert type(lm).__module__ == module, "programs that were saved before name the former module"


@pytest.mark.parametrize(
    ("former", "now", "names"),
    [
        ("runtime.main", "launch.main", ["main"]),
        ("runtime.embedded", "launch.embedded", ["EmbeddedBridge"]),
    ],
)
def test_launchers_that_were_installed_before_find_what_they_name(former: str, now: str, names: list[str]) -> None:
    """In a process that imports nothing else first, as an installed launcher does."""
    looks = "; ".join(f"assert old.{name} is new.{name}" for name in names)
    code = f"import dspex_testkit.{former} as old, dspex_testkit.{now} as new; {looks}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
