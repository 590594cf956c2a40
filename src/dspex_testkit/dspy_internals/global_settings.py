"""What `dspy.configure` has set for the whole process, as a value that can be put back.

DSPy has no public way to undo a `configure`: it keeps the settings, the thread that may change them and the task in
module variables. `tests/dspy_internals/test_global_settings.py` fails loudly when one of them moves.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

# `dspy.dsp.utils.settings` is the object of that name, which hides its module.
module: Final[Any] = import_module("dspy.dsp.utils.settings")
OWNERS: Final = ("config_owner_thread_id", "config_owner_async_task")
CONFIG: Final = "main_thread_config"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The settings of one moment, and who may change them."""

    values: Mapping[str, Any]
    owners: tuple[Any, ...]

    def differs(self, other: "Snapshot") -> bool:
        """Whether anything was changed between the two: by identity, for settings need not be equal to anything."""
        return (
            self.values.keys() != other.values.keys()
            or any(value is not other.values[name] for name, value in self.values.items())
            or any(mine is not theirs for mine, theirs in zip(self.owners, other.owners, strict=True))
        )

    def without(self, before: "Snapshot", after: "Snapshot") -> "Snapshot":
        """These settings as if nothing had been changed between two others; what was changed again since stays."""
        values = dict(self.values)
        for name in after.values:
            changed = before.values.get(name, _ABSENT) is not after.values[name]
            if changed and values.get(name, _ABSENT) is after.values[name]:
                values.pop(name)
                if name in before.values:
                    values[name] = before.values[name]
        owners = [
            first if first is not then and now is then else now
            for now, first, then in zip(self.owners, before.owners, after.owners, strict=True)
        ]
        return Snapshot(values, tuple(owners))


_ABSENT: Final = object()


def take_snapshot() -> Snapshot:
    """The settings now."""
    return Snapshot(dict(getattr(module, CONFIG)), tuple(getattr(module, name) for name in OWNERS))


def fresh() -> Snapshot:
    """The settings of a process that has configured nothing."""
    return Snapshot(deepcopy(dict(module.DEFAULT_CONFIG)), (None,) * len(OWNERS))


def put_back(snapshot: Snapshot) -> None:
    """Have the settings be what they were; the object that holds them stays, for others have hold of it."""
    config = getattr(module, CONFIG)
    with module.global_lock:
        config.clear()
        config.update(snapshot.values)
        for name, owner in zip(OWNERS, snapshot.owners, strict=True):
            setattr(module, name, owner)
