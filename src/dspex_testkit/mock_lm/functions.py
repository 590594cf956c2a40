"""Mocks that are a Python function: it gets the call and returns an answer in any form."""

import asyncio
import inspect
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import Any

from dspex_testkit.errors import InvalidMockSpecError

ALLOW_IMPORT = "DSPEX_TESTKIT_ALLOW_IMPORT"
"""The variable with the module prefixes, comma-separated, from which a spec may name a function."""


def load_function(given: Any, allow_import: Sequence[str] | None = None) -> Callable[[Any], Any]:
    """The function that a spec names.

    Args:
        given: A callable, or `package.module:name`.
        allow_import: Module prefixes from which a name may be imported; by default those in the environment.

    Raises:
        InvalidMockSpecError: It is neither, its module is not allowed, or there is no such function.
    """
    if callable(given):
        return given  # type: ignore[no-any-return]
    if not isinstance(given, str) or given.count(":") != 1:
        raise InvalidMockSpecError(f"function must be a callable or 'package.module:name', not {given!r}.")
    module, name = given.split(":")
    allowed = allow_import if allow_import is not None else _allowed_by_environment()
    if not any(module == prefix or module.startswith(prefix + ".") for prefix in allowed):
        raise InvalidMockSpecError(
            f"The function {given!r} may not be imported: {module!r} is under none of the allowed modules "
            f"({', '.join(allowed) or 'none are'}). Set {ALLOW_IMPORT}={module}.",
            details={"function": given, "allowed": list(allowed)},
        )
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidMockSpecError(f"The function {given!r} cannot be imported: {error}.") from error
    if not callable(found):
        raise InvalidMockSpecError(f"{given!r} is a {type(found).__name__}, not a function.")
    return found  # type: ignore[no-any-return]


def path_of(function: Callable[..., Any]) -> str:
    """`package.module:name`, for a mock that is saved.

    Raises:
        TypeError: The function cannot be found again by a name.
    """
    path = f"{function.__module__}:{getattr(function, '__qualname__', '?')}"
    if "<" in path or "." in path.split(":")[1]:
        raise TypeError(f"A mock of {function!r} cannot be saved: define the function at the top of a module.")
    return path


def call_now(function: Callable[[Any], Any], call: Any) -> Any:
    """The function's result; a coroutine is run to its end, in a thread of its own where a loop is running."""
    result = function(call)
    if not inspect.iscoroutine(result):
        return result
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(result)
    return _in_thread(result)


async def call_async(function: Callable[[Any], Any], call: Any) -> Any:
    """The function's result, awaited where it is a coroutine."""
    result = function(call)
    return await result if inspect.isawaitable(result) else result


def _in_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend((asyncio.run(coroutine), None))
        except BaseException as error:  # handed to the caller below
            outcome.extend((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    result, error = outcome
    if error is not None:
        raise error
    return result


def _allowed_by_environment() -> list[str]:
    return [prefix.strip() for prefix in os.environ.get(ALLOW_IMPORT, "").split(",") if prefix.strip()]
