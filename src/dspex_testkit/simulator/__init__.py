"""Providers on localhost: their wire formats and their faults, answered by the same specs as the mock LMs.

`ProviderSimulator` is the server; whatever speaks HTTP can be its client. Needs the extra `simulator`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dspex_testkit.simulator.server import ProviderSimulator
    from dspex_testkit.simulator.target import Target

_HOMES = {"ProviderSimulator": "server", "Target": "target"}

__all__ = ["ProviderSimulator", "Target"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
