"""The rooms of the house: imports point down, and no two files import each other.

Every import counts: those for types alone and those inside functions too. A name that a package's face only hands on
counts as taken from the file that has it.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
PACKAGE = "dspex_testkit"

ROOMS = (
    # From the ground up; a room imports only rooms that stand before it.
    ("errors", "nearest", "managed", "atomic_files"),
    ("limits",),
    ("patterns",),
    ("protocol",),
    ("setting_table", "redaction"),
    ("dspy_internals",),
    ("calls",),
    ("engines",),
    ("wires",),
    ("mock_lm",),
    ("cassettes",),
    ("lm",),
    ("bridge",),
    ("runtime",),
    ("host",),
    ("launch",),
    ("pool", "report", "local_lm"),
    ("simulator",),
    ("plugin", "demo"),
    ("cli",),
)

DOORS = {"lm.params", "lm.providers", "lm.reading", "runtime.embedded", "runtime.main"}
"""Former places of what has moved, for those who import it from there; nobody in the house does."""


def module_of(path: Path) -> str:
    """A file's name within the package; empty for the package's own face."""
    parts = path.relative_to(SRC / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted((SRC / PACKAGE).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8"), str(path)) for name, path in FILES.items()}


def imported(module: str) -> Iterator[tuple[str, str | None]]:
    """What a file imports of the package: a module, and the name that is taken from it."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found: list[tuple[str, str | None]] = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert not node.level, f"{module} imports relatively; write the whole name"
            found = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for name, taken in found:
            if name == PACKAGE or name.startswith(f"{PACKAGE}."):
                yield name.removeprefix(PACKAGE).removeprefix("."), taken


@cache
def handed_on(face: str) -> dict[str, tuple[str, str]]:
    """The names that a package's face has from elsewhere."""
    if FILES[face].name != "__init__.py":
        return {}
    return {name: (module, name) for module, name in imported(face) if name is not None}


def is_face(module: str) -> bool:
    """Whether a file only hands on what others have."""
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    made = [node.name for node in TREES[module].body if isinstance(node, defined)]
    return FILES[module].name == "__init__.py" and set(made) <= {"__getattr__"}


def home_of(module: str, name: str | None) -> str:
    """The file that has a name, through every face that hands it on."""
    inner = f"{module}.{name}".removeprefix(".")
    if name is not None and inner in FILES:
        return inner
    onward = handed_on(module).get(name or "")
    return module if onward is None or onward == (module, name) else home_of(*onward)


@cache
def arrows() -> dict[str, set[str]]:
    """Which file imports which. Faces only hand on, and doors are for others: nothing is drawn from them."""
    drawn: dict[str, set[str]] = {name: set() for name in FILES}
    for module in FILES:
        if not is_face(module) and module not in DOORS:
            drawn[module] = {home_of(*each) for each in imported(module)} - {module, ""}
    return drawn


def circles_of(graph: dict[str, set[str]]) -> list[set[str]]:
    """The sets of nodes that reach each other."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        pending = [start]
        while pending:
            for after in graph.get(pending.pop(), ()):
                if after not in seen:
                    seen.add(after)
                    pending.append(after)
        return seen

    reached = {node: reach(node) for node in graph}
    tied = {node for node in graph if node in reached[node]}
    found: list[set[str]] = []
    for node in sorted(tied):
        circle = {other for other in tied if other in reached[node] and node in reached[other]}
        if circle not in found:
            found.append(circle)
    return found


def room_of(module: str) -> str:
    """The room in which a file stands."""
    return module.partition(".")[0]


def test_no_two_files_import_each_other() -> None:
    """Neither directly nor on the way over others."""
    found = [sorted(circle) for circle in circles_of(arrows())]
    assert found == [], "untie these: move what both need below them, or hand it in as an argument"


@pytest.mark.parametrize("room", [room for rooms in ROOMS for room in rooms])
def test_in_a_room_neither_files_nor_folders_import_each_other(room: str) -> None:
    """A folder counts as one: what stands in it is either below or above what stands beside it."""
    inside: dict[str, set[str]] = {}
    for module, targets in arrows().items():
        for target in targets:
            here, there = module.split(".")[1:2], target.split(".")[1:2]
            if room_of(module) == room_of(target) == room and here and there and here != there:
                inside.setdefault(here[0], set()).add(there[0])

    assert circles_of(inside) == []


def test_rooms_import_only_what_stands_below_them() -> None:
    """In the order of `ROOMS`."""
    floor = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
    unplaced = {room_of(module) for module in FILES} - floor.keys() - {""}
    assert unplaced == set(), "say in ROOMS above what these stand"
    climbs = {
        (module, target)
        for module, targets in arrows().items()
        for target in targets
        if module and room_of(module) != room_of(target) and floor[room_of(module)] <= floor[room_of(target)]
    }

    assert climbs == set(), "a room uses what is above it, or beside it"


@pytest.mark.parametrize("door", sorted(DOORS))
def test_nobody_in_the_house_goes_through_a_door_for_others(door: str) -> None:
    """A former place is for programs that were written when it was the place."""
    assert [module for module, targets in arrows().items() if door in targets] == []


def test_one_file_decides_what_did_you_mean_names() -> None:
    """Names are compared in `nearest` alone, so that every message does it alike, and bounds it."""
    assert [
        module
        for module, path in FILES.items()
        if module != "nearest" and re.search(r"get_close_matches|did you mean \{", path.read_text("utf-8"))
    ] == ["bridge.signatures.type_names"], "this one offers several"


INDEXES = {
    module: text
    for module, tree in TREES.items()
    if FILES[module].name == "__init__.py"
    and len(re.findall(r"^ {4}\w", text := ast.get_docstring(tree) or "", re.M)) > 2
}
"""What packages say of their files at their top, where that is a list."""


@pytest.mark.parametrize("package", INDEXES)
def test_an_index_names_every_file_of_its_package_and_nothing_else(package: str) -> None:
    """Its list begins each line with files, and may name others behind them."""
    inside = {
        name.removeprefix(f"{package}.")
        for name in FILES
        if name not in DOORS and name != package and (not package or name.startswith(f"{package}."))
    }
    here = {name.partition(".")[0] for name in inside}
    text = INDEXES[package]
    listed = {
        name
        for line in re.findall(r"^ {4}(\w.*)$", text, re.M)
        for name in re.findall(r"\w+", re.split(r" {2,}| (?=[^\w])", line)[0])
    }

    assert here - set(re.findall(r"\w+", text)) == set(), "say what these are for"
    assert {name for name in listed if name not in here and re.fullmatch(r"[a-z]+(_[a-z]+)+", name)} == set(), "gone"


CALLED_BY_OTHERS = {"_is_a_store", "_save", "ignore_aliases"}
"""By mypy, by vcrpy, by PyYAML."""


def test_nothing_is_defined_that_nobody_names() -> None:
    """Whatever has a name is named once more: where it is used, handed on, tested or documented."""
    root = SRC.parent
    texts = [path.read_text("utf-8") for path in FILES.values()]
    for folder, endings in {"tests": ["py"], "benchmarks": ["py"], "fuzz": ["py"], "docs": ["md"]}.items():
        texts += [path.read_text("utf-8") for ending in endings for path in (root / folder).rglob(f"*.{ending}")]
    named = Counter(word for text in texts for word in re.findall(r"\w+", text))
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    made = Counter(node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, defined))
    unused = {
        name
        for name, times in made.items()
        if named[name] <= times and not name.startswith(("pytest_", "__")) and name not in CALLED_BY_OTHERS
    }
    assert unused == set(), "delete these"


def test_a_climb_and_a_circle_would_be_seen() -> None:
    """The measure itself: what is imported inside a function, or for types alone, ties two files as well."""
    assert "bridge.programs.execution" in arrows()["bridge.dispatcher"], "an import inside a function"
    assert "lm.cache.responses" in arrows()["bridge.commands.cache"], "an import for types"
    assert circles_of({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
    assert circles_of({"a": {"b"}, "b": set()}) == []
    assert home_of("calls", "Caller") == "calls.caller"
