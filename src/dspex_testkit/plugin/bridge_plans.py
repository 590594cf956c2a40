"""What a test's bridge is to be, and how that is told to its processes."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dspex_testkit.errors import UsageError
from dspex_testkit.nearest import did_you_mean
from dspex_testkit.plugin.options import Mode
from dspex_testkit.pool.warm import shares_state
from dspex_testkit.setting_table import SETTINGS

__tracebackhide__ = True  # pytest shows what is wrong, not how it was found


@dataclass(frozen=True, slots=True)
class Plan:
    """What a bridge is to be."""

    mode: Mode
    workers: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By the names of the settings file; those not named have their defaults."""

    @property
    def key(self) -> str:
        """Equal for plans that the same processes can serve."""
        return json.dumps([self.mode, self.workers, self.environment], sort_keys=True)

    @property
    def environment(self) -> dict[str, str]:
        """The settings as a process reads them.

        Raises:
            UsageError: A setting does not exist, or has a value that no other process can be told.
        """
        known = {setting.key: setting.env for setting in SETTINGS if setting.key}
        told = {}
        for name, value in self.settings.items():
            if name not in known:
                otherwise = f"the settings are {', '.join(sorted(known))}"
                hint = did_you_mean(name, [*known, "mode", "workers"], otherwise)
                raise UsageError(f"a bridge has no setting {name!r}; {hint}")
            if value is not None:
                told[known[name]] = _as_text(name, value)
        return told

    @property
    def shares_state(self) -> bool:
        """Whether the workers of such a pool know what one of them was told.

        Raises:
            UsageError: As of `environment`.
        """
        return shares_state({**os.environ, **self.environment})


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | os.PathLike):
        return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    if isinstance(value, tuple | list | set | frozenset):
        return ",".join(map(str, value))
    try:
        return json.dumps(value, default=partial(_refuse, name))
    except TypeError as error:
        raise UsageError(str(error)) from None


def _refuse(name: str, value: object) -> Any:
    raise TypeError(
        f"{name}: {value!r} cannot be told to another process; run this test in process (mode='inproc'), or name the "
        "function: 'package.module:name' with the setting allow_import"
    )
