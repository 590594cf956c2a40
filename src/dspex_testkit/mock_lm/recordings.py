"""The mock's doors to recordings, which know mocks and are not known by them: who keeps recordings registers here."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Literal

KEEPER: Final = "dspex_testkit.cassettes"
"""Who registers when it is imported."""
_kept: dict[str, Callable[[Literal["replay", "record"]], Any]] = {}


def register(functions: Callable[[Literal["replay", "record"]], Any]) -> None:
    """Be who records and replays.

    Args:
        functions: Gives by name, when it is first needed, ``replay(path, **options)``, which returns an LM, and
            ``record(lm, path, **options)``, which is a context manager that gives one.
    """
    _kept[KEEPER] = functions


def recordings(name: Literal["replay", "record"]) -> Any:
    """One of the two functions.

    Raises:
        MissingExtraError: The extra `cassettes` is not installed.
    """
    if KEEPER not in _kept:
        import_module(KEEPER)
    return _kept[KEEPER](name)
