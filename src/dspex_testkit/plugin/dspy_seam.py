"""The one place where the plugin reaches into DSPy: who answers for an LM, and what comes of each call.

All calls of an LM go through one function of DSPy, or its async twin, and another chooses the engine, whether the LM
was constructed, loaded from a file or held by a module, in whichever thread, by `dspy.configure`, `dspy.context` or
`set_lm`. While a test runs that asked for it, those are wrapped, and with them the ones that remember answers. All but
the first two are private to DSPy; `tests/plugin/test_dspy_seam.py` fails loudly when it changes them.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, Protocol

import dspy
from dspy.clients import execution
from dspy.lm15 import LM15Error, Request, request_from_openai_chat

# It binds one of these functions at its import, and has to get DSPy's own.
from dspex_testkit.cassettes import dspy_wire as _dspy_wire  # noqa: F401
from dspex_testkit.mock_lm.answering import caller_now
from dspex_testkit.mock_lm.capture import Capture, announce_call, current_call, end_call
from dspex_testkit.plugin.watched import WatchedCall, is_provider_lm

SEAM = ("execute", "aexecute", "_select_engine", "_cached", "_store")
"""The functions of `dspy.clients.execution` that are wrapped."""


class Watcher(Protocol):
    """Hears of each call, and may answer for LMs of real providers."""

    def engines_for(self, lm: Any) -> tuple[Any, Any] | None:
        """The engine and its async twin that answer in the place of a provider's LM; None leaves it alone."""
        ...

    def watching(self, lm: Any, request: Any, capture: Capture | None) -> AbstractContextManager[WatchedCall | None]:
        """An LM is asked. Gives what is to be told of the answer; None where somebody else writes the call down.

        Args:
            lm: The LM.
            request: Gives what it is sent, or None where that cannot be said.
            capture: What the adapter knew, or None.
        """
        ...


@contextmanager
def entered(watcher: Watcher) -> Iterator[None]:
    """Let somebody watch, and answer, for the whole process while this is entered.

    DSPy's own cache is a new one meanwhile, so that no test meets what another one, or a person, has asked before.
    """
    kept = {name: getattr(execution, name) for name in SEAM}

    def belongs_to_bridge() -> bool:
        # What a bridge of this process asks, it writes down itself; its policy has been followed already.
        return caller_now().scope is not None

    def substitute(lm: Any) -> tuple[Any, Any] | None:
        return watcher.engines_for(lm) if is_provider_lm(lm) and not belongs_to_bridge() else None

    def execute(lm: Any, call: Any) -> Any:
        if belongs_to_bridge():
            return kept["execute"](lm, call)
        with watcher.watching(lm, partial(_request_of, lm, call), current_call().capture) as watched:
            result = kept["execute"](lm, call)
        if watched is not None:
            watched.answered(result)
        return result

    async def aexecute(lm: Any, call: Any) -> Any:
        if belongs_to_bridge():
            return await kept["aexecute"](lm, call)
        with watcher.watching(lm, partial(_request_of, lm, call), current_call().capture) as watched:
            result = await kept["aexecute"](lm, call)
        if watched is not None:
            watched.answered(result)
        return result

    def select_engine(lm: Any, call: Any, asynchronous: bool) -> Any:
        engines = substitute(lm)
        if engines is None:
            return kept["_select_engine"](lm, call, asynchronous)
        announced = _AsyncAnnounced if asynchronous else _Announced
        engine = announced(engines[asynchronous], lm, call, current_call().capture)
        return engine, execution._canonical(call), None

    def cached(lm: Any, call: Any, asynchronous: bool) -> Any:
        return None if substitute(lm) else kept["_cached"](lm, call, asynchronous)

    def store(lm: Any, call: Any, result: Any, asynchronous: bool) -> None:
        if not substitute(lm):
            kept["_store"](lm, call, result, asynchronous)

    former_cache = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    for name, wrapped in zip(SEAM, (execute, aexecute, select_engine, cached, store), strict=True):
        setattr(execution, name, wrapped)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(execution, name, function)
        dspy.cache = former_cache


def _request_of(lm: Any, call: Any) -> Request | None:
    """What an LM is sent in DSPy's own form, whichever client sends it; None where it has none."""
    with suppress(LM15Error, TypeError, ValueError):
        return execution._canonical(call)
    with suppress(LM15Error, TypeError, ValueError):
        # Litellm takes options that have no such form; the messages mostly have.
        return request_from_openai_chat({"model": str(lm.model), "messages": call.legacy["messages"]})
    return None


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
