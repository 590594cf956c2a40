"""What a class changes under its lock in one place it changes under its lock in every place."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dspex_testkit

PACKAGE = Path(dspex_testkit.__file__).parent
MAKERS = {"Lock", "RLock", "Condition", "allocate_lock"}
BEFORE_ANYBODY_ELSE = {"__init__", "__post_init__", "__setstate__", "__new__"}


@dataclass
class Method:
    """What a method does to its object, each with whether a lock is held."""

    changes: list[tuple[str, bool, int]] = field(default_factory=list)
    calls: list[tuple[str, bool]] = field(default_factory=list)


def of_self(node: ast.expr) -> str | None:
    """The attribute of `self` that an expression is, or is an item of."""
    while isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return None


def made_locks(cls: ast.ClassDef) -> set[str]:
    """The attributes in which a class keeps locks."""
    found = set()
    for node in ast.walk(cls):
        if isinstance(node, ast.Assign) and any(
            isinstance(each, ast.Call)
            and (each.func.attr if isinstance(each.func, ast.Attribute) else getattr(each.func, "id", "")) in MAKERS
            for each in ast.walk(node.value)
        ):
            found |= {name for target in node.targets if (name := of_self(target)) is not None}
    return found


def read(node: ast.AST, locks: set[str], held: bool, method: Method) -> None:
    """Note what is done below a node."""
    if isinstance(node, ast.With | ast.AsyncWith):
        held = held or any(of_self(item.context_expr) in locks for item in node.items)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        held = False  # it runs later
    elif isinstance(node, ast.AugAssign):
        if (name := of_self(node.target)) is not None:
            method.changes.append((name, held, node.lineno))
    elif isinstance(node, ast.Call) and (name := of_self(node.func)) is not None:
        method.calls.append((name, held))
    for child in ast.iter_child_nodes(node):
        read(child, locks, held, method)


def methods_of(cls: ast.ClassDef) -> dict[str, Method]:
    """What each method of a class with locks does."""
    locks = made_locks(cls)
    methods: dict[str, Method] = {}
    for function in cls.body:
        if locks and isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            methods[function.name] = Method()
            for node in function.body:
                read(node, locks, False, methods[function.name])
    return methods


def called_under_a_lock(methods: dict[str, Method]) -> set[str]:
    """The methods of a class that are only ever called by whoever holds its lock."""
    found = {name for name in methods if name.startswith("_") and name not in BEFORE_ANYBODY_ELSE}
    while True:
        calls = [
            (called, held or caller in found) for caller, method in methods.items() for called, held in method.calls
        ]
        kept = {name for name in found if (seen := [h for c, h in calls if c == name]) and all(seen)}
        if kept == found:
            return found
        found = kept


def uneven(tree: ast.Module) -> Iterator[str]:
    """Class and attribute of what is counted both with and without a lock."""
    for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        methods = methods_of(cls)
        always_held = called_under_a_lock(methods)
        changes: dict[str, dict[bool, list[int]]] = {}
        for name, method in methods.items():
            if name not in BEFORE_ANYBODY_ELSE:
                for attribute, held, line in method.changes:
                    changes.setdefault(attribute, {}).setdefault(held or name in always_held, []).append(line)
        for attribute, lines in changes.items():
            if False in lines:
                elsewhere = " (elsewhere under a lock)" if True in lines else ""
                yield f"{cls.name}.{attribute}, line {lines[False][0]}{elsewhere}"


def counted_from_outside(
    node: ast.AST, held: bool = False, holders: frozenset[str] | set[str] = frozenset()
) -> Iterator[str]:
    """What adds a number to an attribute of another object than its own without holding a lock."""
    if isinstance(node, ast.With | ast.AsyncWith):
        held = held or any((of_self(item.context_expr) or "").endswith(("lock", "gate")) for item in node.items)
    elif isinstance(node, ast.ClassDef):
        holders = called_under_a_lock(methods_of(node))
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        held = node.name in holders
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute) and not held:
        owner = node.target.value
        counts = isinstance(node.op, ast.Add | ast.Sub) and not isinstance(node.value, ast.List | ast.ListComp)
        if counts and not (isinstance(owner, ast.Name) and owner.id == "self"):
            yield f"{ast.unparse(node)}, line {node.lineno}"
    for child in ast.iter_child_nodes(node):
        yield from counted_from_outside(child, held, holders)


def test_counts_of_a_class_with_a_lock_are_counted_under_it() -> None:
    """A sum that two threads make at once may lose one of both."""
    found = [
        f"{path.relative_to(PACKAGE)}: {what}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for what in uneven(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


def test_nobody_counts_in_what_is_somebody_elses() -> None:
    """But for who holds the lock of a set of things, and counts in them what becomes of them."""
    found = [
        f"{path.relative_to(PACKAGE)}: {what}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for what in counted_from_outside(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


def test_a_count_without_its_lock_would_be_seen() -> None:
    """The measure itself."""
    source = """
class Odd:
    def __init__(self):
        self._lock = threading.Lock()
        self.seen = self.kept = self.told = 0
    def see(self):
        with self._lock:
            self.seen += 1
            self._tell()
    def forget(self):
        self.seen -= 1
    def keep(self, key):
        self.kept[key] += 1
    def _tell(self):
        self.told += 1
"""
    found = list(uneven(ast.parse(source)))
    assert [each.partition(",")[0] for each in found] == ["Odd.seen", "Odd.kept"]
    outside = """
class Odd:
    def __init__(self):
        self._lock = threading.Lock()
    def add(self, other):
        with self._lock:
            self._count(other)
        other.told += 1
        self.other.heard -= 1
    def _count(self, other):
        other.kept += 1
"""
    told = list(counted_from_outside(ast.parse(outside)))
    assert [each.partition(",")[0] for each in told] == ["other.told += 1", "self.other.heard -= 1"]
