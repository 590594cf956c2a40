"""What is nobody's promise: each reach into the inside of a library, or of Python, has a canary that fails by name.

Reaches are found in the syntax of every file, so that a new one fails here until somebody has written its canary. What
DSPy does not publish is reached for in one room, whose files have a module of canaries each
(`tests/dspy_internals/test_room.py`).
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import dspex_testkit

PACKAGE = Path(dspex_testkit.__file__).parent
ROOT = Path(__file__).parents[1]
DSPY_ROOM = "dspy_internals"

CANARIES = {
    "_json.encode_basestring_ascii": "tests/host/test_light_json.py::test_what_it_writes_is_json_and_is_read_again",
    "_json.make_encoder": "tests/host/test_light_json.py::test_what_it_writes_is_json_and_is_read_again",
    "_json.make_scanner": "tests/host/test_light_json.py::test_what_it_writes_is_json_and_is_read_again",
    "_pytest.runner.runtestprotocol": (
        "tests/plugin/test_repeats.py::test_pytest_still_has_the_function_that_runs_a_test_again"
    ),
    "_signal": "tests/test_foreign_internals.py::test_the_c_half_of_a_module_has_what_is_used_of_it",
    "_socket": "tests/test_foreign_internals.py::test_the_c_half_of_a_module_has_what_is_used_of_it",
    "dsession": "tests/plugin/test_xdist.py::test_the_session_of_xdist_can_still_be_stopped",
    "vcr.cassette.Cassette": "tests/cassettes/test_vcrpy.py::test_vcrpys_cassette_has_the_methods_that_are_overridden",
    "vcr.cassette.Cassette._path": (
        "tests/cassettes/test_vcrpy.py::test_vcrpys_cassette_has_the_attributes_that_are_read"
    ),
    "vcr.cassette.Cassette._persister": (
        "tests/cassettes/test_vcrpy.py::test_vcrpys_cassette_has_the_attributes_that_are_read"
    ),
    "vcr.cassette.Cassette._save": (
        "tests/cassettes/test_vcrpy.py::test_vcrpy_saves_through_the_method_that_is_overridden"
    ),
    "vcr.filters.decode_response": "tests/cassettes/test_vcrpy.py::test_vcrpys_form_of_a_file_is_read_and_written",
    "vcr.persisters.filesystem.CassetteNotFoundError": (
        "tests/cassettes/test_vcrpy.py::test_vcrpys_cassette_has_the_attributes_that_are_read"
    ),
    "vcr.record_mode.RecordMode": (
        "tests/cassettes/test_vcrpy.py::test_vcrpy_saves_through_the_method_that_is_overridden"
    ),
    "vcr.request.Request": "tests/cassettes/test_vcrpy.py::test_vcrpys_form_of_a_file_is_read_and_written",
    "vcr.serialize.deserialize": "tests/cassettes/test_vcrpy.py::test_vcrpys_form_of_a_file_is_read_and_written",
    "vcr.serialize.serialize": "tests/cassettes/test_vcrpy.py::test_vcrpys_form_of_a_file_is_read_and_written",
}
"""The test that fails when one of these moves."""

INSIDES = ("vcr", "_pytest", "xdist", "litellm")
"""Of these no more is public than their faces, and not always that."""
PLUGINS_OF_XDIST = {"dsession", "workermanage", "terminaldistreporter"}
"""What xdist registers under a name, which is another way to its inside."""
DOCUMENTED = {"_thread", "os._exit", "sys._getframe", "_replace", "_asdict", "_fields"}
"""Their underscore is a warning or a way out of a clash of names; Python's documents describe them."""
C_HALVES = {"_signal": "signal", "_socket": "socket"}
"""Modules that a launcher takes without what Python puts before them."""


def dotted(node: ast.expr) -> str | None:
    """A name with its attributes as it is written."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)) is not None:
        return f"{owner}.{node.attr}"
    return None


def hidden(name: str) -> bool:
    """Whether a name says that it is not for others."""
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def imports_of(tree: ast.AST) -> dict[str, str]:
    """What a file has from others: the name that it uses, and whose it is."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def is_ours(whole: str) -> bool:
    """Whether something is of the package itself."""
    return whole.split(".")[0] in ("dspex_testkit", "__future__")


def names_made(trees: dict[str, ast.Module]) -> set[str]:
    """Every name that the package itself gives to a function, a class, a variable or an attribute."""
    made = set()
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            made.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg is not None:
            made.add(node.arg)
    return made


def reaches(trees: dict[str, ast.Module]) -> Iterator[tuple[str, str]]:
    """File and name of everything that is reached for in the inside of something foreign."""
    ours = names_made(trees)
    for file, tree in trees.items():
        imported = imports_of(tree)
        for whole in imported.values():
            parts = whole.split(".")
            if not is_ours(whole) and ((parts[0] in INSIDES and len(parts) > 1) or any(map(hidden, parts))):
                yield file, whole
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and hidden(node.attr):
                owner, _, rest = (dotted(node) or "").partition(".")
                if owner in ("self", "cls") and "." not in rest:
                    continue  # its own, or, as `overrides` finds, of a foreign class that it extends
                whole = f"{imported[owner]}.{rest}" if owner in imported else node.attr
                foreign = owner in imported and not is_ours(whole) and "." not in rest
                if foreign or node.attr not in ours:
                    yield file, whole
            elif isinstance(node, ast.Call) and dotted(node.func) in ("getattr", "hasattr", "setattr", "delattr"):
                name = node.args[1].value if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) else ""
                if isinstance(name, str) and hidden(name) and name not in ours:
                    yield file, name
            elif isinstance(node, ast.Constant) and _names_an_inside(node.value):
                yield file, str(node.value)


def _names_an_inside(value: object) -> bool:
    """Whether a text leads into the inside of a library, by a module's name or by a registered one."""
    if not isinstance(value, str):
        return False
    return value in PLUGINS_OF_XDIST or re.fullmatch(r"(dspy|vcr|_pytest|xdist)(\.\w+)+", value) is not None


def overrides(trees: dict[str, ast.Module]) -> Iterator[tuple[str, str]]:
    """File and name of what a class of ours has from the inside of a foreign class: read, or put in its place."""
    for file, tree in trees.items():
        imported = imports_of(tree)
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            for base in node.bases:
                whole = imported.get((dotted(base) or "").partition(".")[0], "")
                if not whole or is_ours(whole):
                    continue
                foreign = _foreign_class(whole, dotted(base) or "")
                if foreign is None:
                    continue
                used = {
                    each.attr
                    for each in ast.walk(node)
                    if isinstance(each, ast.Attribute) and dotted(each.value) == "self"
                } | {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
                for name in sorted(filter(hidden, used)):
                    if name in _names_of(foreign):
                        yield file, f"{foreign.__module__}.{foreign.__qualname__}.{name}"


def _foreign_class(whole: str, written: str) -> type | None:
    """The class that a base names: imported as it is, or found in what was imported."""
    module, _, name = whole.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name) if module else importlib.import_module(whole)
        for part in written.split(".")[1:]:
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) else None


def _names_of(cls: type) -> set[str]:
    """Everything that a class and its own bases call theirs, attributes that their methods set included."""
    found: set[str] = set()
    for base in cls.__mro__[:-1]:
        found |= set(vars(base))
        try:
            found |= set(re.findall(r"self\.(\w+)\b[^=(\n]*=[^=]", inspect.getsource(base)))
        except (OSError, TypeError):
            continue  # it is written in C
    return found


TREES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text("utf-8"), str(path))
    for path in sorted(PACKAGE.rglob("*.py"))
}
FOUND = sorted({*reaches(TREES), *overrides(TREES)})


def test_every_reach_into_the_inside_of_others_has_a_canary() -> None:
    """And no canary is kept for what nobody reaches for any more."""
    outside = [(file, name) for file, name in FOUND if not file.startswith(DSPY_ROOM) and name not in DOCUMENTED]
    assert [each for each in outside if each[1] not in CANARIES] == [], "use what is public, or write a canary"
    assert sorted(set(CANARIES) - {name for _, name in outside}) == [], "strike these"


@pytest.mark.parametrize("name", CANARIES)
def test_a_canary_is_a_test(name: str) -> None:
    """The one that is named is there, and names what it looks after."""
    file, _, function = CANARIES[name].partition("::")
    source = (ROOT / file).read_text("utf-8")
    assert function in {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}


def test_what_dspy_keeps_to_itself_is_reached_for_in_one_room() -> None:
    """By imports, by attributes, and by names in quotes as well."""
    assert [each for each in FOUND if "dspy" in each[1].split(".") and not each[0].startswith(DSPY_ROOM)] == []
    assert ("dspy_internals/asked_lm.py", "dspy.clients.execution") in FOUND


def test_a_reach_would_be_found() -> None:
    """The measure itself: in every form in which somebody may write one."""
    written = """
import vcr, json, os
from xdist.dsession import DSession
from json.decoder import JSONDecoder
def look(item, config):
    import _heapq
    from http.client import _encode
    item._request, json._default_encoder, getattr(config, "_store"), config.get("dsession")
class Odd(JSONDecoder):
    def go(self):
        return self._own
    def _own(self): ...
"""
    found = {name for _, name in reaches({"odd.py": ast.parse(written)})}
    assert found == {
        "xdist.dsession.DSession",
        "_heapq",
        "http.client._encode",
        "_request",
        "json._default_encoder",
        "_store",
        "dsession",
    }


@pytest.mark.parametrize("half", C_HALVES)
def test_the_c_half_of_a_module_has_what_is_used_of_it(half: str) -> None:
    """The canary: everything that launcher and host take of it is there, and is the same as in the whole module."""
    part, whole = importlib.import_module(half), importlib.import_module(C_HALVES[half])
    used = set()
    for tree in TREES.values():
        names = [name for name, origin in imports_of(tree).items() if origin == half]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and dotted(node.value) in names:
                used.add(node.attr)

    assert len(used) > 2
    assert {name for name in used if not hasattr(part, name)} == set()
    assert {name for name in used if not same(part, whole, name)} == set()


def same(part: ModuleType, whole: ModuleType, name: str) -> bool:
    """Whether both halves mean the same: an equal number, a function that the other wraps, a class of the other's."""
    here, there = getattr(part, name), getattr(whole, name)
    if isinstance(here, type):
        return issubclass(there, here)
    return bool(here == there) or (callable(here) and callable(there))
