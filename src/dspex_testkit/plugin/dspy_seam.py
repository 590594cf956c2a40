"""The one place where the plugin reaches into DSPy: who answers for an LM, and what it is asked.

DSPy chooses the engine of each call in one function, whether the LM was constructed, loaded from a file or held by a
module, in whichever thread, by `dspy.configure`, `dspy.context` or `set_lm`. While a test runs that asked for it, that
function is wrapped, and with it those that remember answers and that finish a call. All are private to DSPy;
`tests/plugin/test_dspy_seam.py` fails loudly when it changes them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import dspy
from dspy.clients import execution

# It binds one of these functions at its import, and has to get DSPy's own.
from dspex_testkit.cassettes import dspy_wire as _dspy_wire  # noqa: F401
from dspex_testkit.mock_lm.answering import caller_now
from dspex_testkit.mock_lm.capture import Capture, announce_call, current_call, end_call

SEAM = ("_select_engine", "_cached", "_store", "finalize")
"""The functions of `dspy.clients.execution` that are wrapped."""


class Watcher(Protocol):
    """Hears of each call, and may answer for LMs of real providers."""

    def engines_for(self, lm: Any) -> tuple[Any, Any] | None:
        """The engine and its async twin that answer in an LM's place; None leaves it alone."""
        ...

    def asked(self, lm: Any, call: Any, capture: Capture | None) -> None:
        """An engine is about to be asked."""
        ...

    def answered(self, lm: Any, call: Any, result: Any) -> None:
        """An LM of a real provider, or DSPy's cache in its place, has answered."""
        ...


@contextmanager
def entered(watcher: Watcher) -> Iterator[None]:
    """Let somebody watch, and answer, for the whole process while this is entered.

    DSPy's own cache is a new one meanwhile, so that no test meets what another one, or a person, has asked before.
    """
    kept = {name: getattr(execution, name) for name in SEAM}

    def is_real(lm: Any) -> bool:
        return isinstance(getattr(lm, "_engine_spec", None), str)

    def belongs_to_bridge(lm: Any) -> bool:
        # What a bridge of this process asks a provider, it writes down itself; its policy has been followed already.
        return is_real(lm) and caller_now().scope is not None

    def substitute(lm: Any) -> tuple[Any, Any] | None:
        return watcher.engines_for(lm) if is_real(lm) and not belongs_to_bridge(lm) else None

    def select_engine(lm: Any, call: Any, asynchronous: bool) -> Any:
        if belongs_to_bridge(lm):
            return kept["_select_engine"](lm, call, asynchronous)
        capture = current_call().capture
        watcher.asked(lm, call, capture)
        engines = substitute(lm)
        if engines is None:
            return kept["_select_engine"](lm, call, asynchronous)
        engine = (
            _AsyncAnnounced(engines[1], lm, call, capture)
            if asynchronous
            else _Announced(engines[0], lm, call, capture)
        )
        return engine, execution._canonical(call), None

    def cached(lm: Any, call: Any, asynchronous: bool) -> Any:
        return None if substitute(lm) else kept["_cached"](lm, call, asynchronous)

    def store(lm: Any, call: Any, result: Any, asynchronous: bool) -> None:
        if not substitute(lm):
            kept["_store"](lm, call, result, asynchronous)

    def finalize(lm: Any, call: Any, result: Any) -> Any:
        if is_real(lm) and not belongs_to_bridge(lm) and not substitute(lm):
            watcher.answered(lm, call, result)
        return kept["finalize"](lm, call, result)

    former_cache = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    for name, wrapped in zip(SEAM, (select_engine, cached, store, finalize), strict=True):
        setattr(execution, name, wrapped)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(execution, name, function)
        dspy.cache = former_cache


class _Announced:
    """An engine that is told what the adapter knew, as a `MockLM` tells its own."""

    def __init__(self, engine: Any, lm: Any, call: Any, capture: Capture | None) -> None:
        self._engine = engine
        self._capture = capture
        self._params = {**lm.kwargs, **call.kwargs}

    def complete(self, request: Any) -> Any:
        token = announce_call(self._capture, self._params)
        try:
            return self._engine.complete(request)
        finally:
            end_call(token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class _AsyncAnnounced(_Announced):
    """The same for `acall`."""

    async def complete(self, request: Any) -> Any:
        token = announce_call(self._capture, self._params)
        try:
            return await self._engine.complete(request)
        finally:
            end_call(token)
