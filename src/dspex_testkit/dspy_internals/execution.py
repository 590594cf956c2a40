"""The functions of DSPy that every call of an LM goes through: which engine answers, and what comes of it.

All calls of an LM go through one function of DSPy, or its async twin, and another chooses the engine, whether the LM
was constructed, loaded from a file or held by a module, in whichever thread, by `dspy.configure`, `dspy.context` or
`set_lm`. `watched_execution` wraps those, and with them the ones that remember answers, for as long as somebody
watches. All but the first two are private to DSPy; `tests/dspy_internals/test_execution.py` fails loudly when it
changes them.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import deepcopy
from functools import partial
from typing import Any, Protocol

import dspy
from dspy.clients import execution
from dspy.clients.backend_selection import CLIENT_KEYS
from dspy.clients.execution import _select_engine, prepare
from dspy.clients.lm15_boundary import response_value
from dspy.lm15 import LM15Error, Request, Response, request_from_openai_chat

from dspex_testkit.dspy_internals.call_stack import Capture, announce_call, current_call, end_call
from dspex_testkit.dspy_internals.file_names import names_in_types

__all__ = [
    "CLIENT_KEYS",
    "SEAM",
    "CallWatch",
    "CompatibilityEngine",
    "Watcher",
    "compatibility_engine_for",
    "engine_for",
    "watched_execution",
]

SEAM = ("execute", "aexecute", "_select_engine", "_cached", "_store")
"""The functions of `dspy.clients.execution` that are wrapped."""


class CallWatch(Protocol):
    """One call that is being watched."""

    def answered(self, result: Any) -> None:
        """Take DSPy's result of the call."""
        ...


class Watcher(Protocol):
    """Hears of each call, and may answer for an LM."""

    def stands_aside(self) -> bool:
        """Whether calls made in this context are left to another watcher."""
        ...

    def engines_for(self, lm: Any) -> tuple[Any, Any] | None:
        """The engine and its async twin that answer in the place of an LM's own; None leaves it alone."""
        ...

    def watching(self, lm: Any, request: Any, capture: Capture | None) -> AbstractContextManager[CallWatch | None]:
        """An LM is asked. Gives what is to be told of the answer; None where somebody else writes the call down.

        Args:
            lm: The LM.
            request: Gives what it is sent, or None where that cannot be said.
            capture: What the adapter knew, or None.
        """
        ...


def engine_for(lm: Any, request: Request, *, asynchronous: bool) -> Any:
    """The engine that this LM would use for one attempt at this request: DSPy's own client, litellm, or its own."""
    call = prepare(lm, request, None, {"cache": False}, asynchronous=asynchronous)
    engine, _, _ = _select_engine(lm, call, asynchronous)
    return engine


class CompatibilityEngine:
    """Asks litellm what a canonical request cannot carry to a provider, as DSPy does of its own accord.

    Args:
        lm: The LM.
        call: DSPy's preparation of the call.
        engine: DSPy's engine on litellm.
    """

    def __init__(self, lm: Any, call: Any, engine: Any) -> None:
        self._lm = lm
        self._call = call
        self._engine = engine

    def complete(self, request: Request) -> Response:
        """One answer."""
        with dspy.context(send_stream=None):
            return self._response(self._engine.complete_legacy(self._lm, self._body(), **self._said()), request)

    async def complete_async(self, request: Request) -> Response:
        """The same of an engine for `acall`."""
        with dspy.context(send_stream=None):
            return self._response(await self._engine.complete_legacy(self._lm, self._body(), **self._said()), request)

    def _body(self) -> Any:
        return deepcopy(self._call.legacy)

    def _said(self) -> dict[str, Any]:
        return {"prompt": None, "messages": self._call.messages, "call_kwargs": self._call.kwargs}

    def _response(self, result: Any, request: Request) -> Response:
        response: Response = response_value(result.raw, self._lm.model_type, request)
        return response


def compatibility_engine_for(lm: Any, *, asynchronous: bool) -> CompatibilityEngine | None:
    """Litellm, where DSPy would ask it about the call being answered; None where its own client carries all of it."""
    context = current_call()
    if context.messages is None:
        return None
    params = {name: value for name, value in context.params.items() if value is not None}
    call = prepare(lm, None, list(context.messages), {**params, "cache": False}, asynchronous=asynchronous)
    try:
        engine, canonical, _ = _select_engine(lm, call, asynchronous)
    except (LM15Error, dspy.LMError):
        return None
    return None if canonical is not None else CompatibilityEngine(lm, call, engine)


@contextmanager
def watched_execution(watcher: Watcher) -> Iterator[None]:
    """Have a watcher see, and perhaps answer, every LM call of this process inside the context.

    DSPy's own cache is a new one meanwhile, so that no test meets what another one, or a person, has asked before.
    """
    kept = {name: getattr(execution, name) for name in SEAM}

    def substitute(lm: Any) -> tuple[Any, Any] | None:
        return None if watcher.stands_aside() else watcher.engines_for(lm)

    def execute(lm: Any, call: Any) -> Any:
        if watcher.stands_aside():
            return kept["execute"](lm, call)
        with watcher.watching(lm, partial(_request_of, lm, call), current_call().capture) as watched:
            result = kept["execute"](lm, call)
        if watched is not None:
            watched.answered(result)
        return result

    async def aexecute(lm: Any, call: Any) -> Any:
        if watcher.stands_aside():
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
        with names_in_types(None if call.request is not None else call.legacy.get("messages")):
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
        written = call.legacy.get("messages")
        self._messages = list(written) if isinstance(written, list) else None

    def complete(self, request: Any) -> Any:
        token = announce_call(self._capture, self._params, self._messages)
        try:
            return self._engine.complete(request)
        finally:
            end_call(token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class _AsyncAnnounced(_Announced):
    """The same for `acall`."""

    async def complete(self, request: Any) -> Any:
        token = announce_call(self._capture, self._params, self._messages)
        try:
            return await self._engine.complete(request)
        finally:
            end_call(token)
