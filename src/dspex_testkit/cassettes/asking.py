"""Asking a real LM for one request, with its own retries, and keeping the time of each piece of a stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any

from dspy.lm15 import RETRYABLE_ERRORS, LM15Error, Request, Response

from dspex_testkit.cassettes.dspy_wire import engine_for


def ask(lm: Any, request: Request) -> Response:
    """One answer. Retries are the LM's; only how it ends is anybody's business.

    Raises:
        LM15Error: The provider failed, as often as the LM wants to try.
    """
    request = replace(request, model=lm.model)
    engine = engine_for(lm, request, asynchronous=False)
    for attempt in range(_retries(lm) + 1):
        try:
            return engine.complete(request)
        except LM15Error as error:
            if not _again(lm, error, attempt):
                raise
            time.sleep(_pause(error, attempt))
    raise AssertionError("a loop of at least one attempt ends by return or raise")


async def ask_async(lm: Any, request: Request) -> Response:
    """One answer, asynchronously.

    Raises:
        LM15Error: The provider failed, as often as the LM wants to try.
    """
    request = replace(request, model=lm.model)
    engine = engine_for(lm, request, asynchronous=True)
    for attempt in range(_retries(lm) + 1):
        try:
            return await engine.complete(request)
        except LM15Error as error:
            if not _again(lm, error, attempt):
                raise
            await asyncio.sleep(_pause(error, attempt))
    raise AssertionError("a loop of at least one attempt ends by return or raise")


def stream(lm: Any, request: Request) -> Iterator[Any]:
    """The events of a streamed answer. What fails before the first event is tried again.

    Raises:
        LM15Error: The provider failed.
    """
    request = replace(request, model=lm.model)
    engine = engine_for(lm, request, asynchronous=False)
    for attempt in range(_retries(lm) + 1):
        begun = False
        try:
            with closing(engine.stream(request)) as events:
                for event in events:
                    begun = True
                    yield event
            return
        except LM15Error as error:
            if begun or not _again(lm, error, attempt):
                raise
            time.sleep(_pause(error, attempt))


async def stream_async(lm: Any, request: Request) -> AsyncIterator[Any]:
    """The events of a streamed answer, asynchronously.

    Raises:
        LM15Error: The provider failed.
    """
    request = replace(request, model=lm.model)
    engine = engine_for(lm, request, asynchronous=True)
    for attempt in range(_retries(lm) + 1):
        begun = False
        try:
            async with aclosing(engine.stream(request)) as events:
                async for event in events:
                    begun = True
                    yield event
            return
        except LM15Error as error:
            if begun or not _again(lm, error, attempt):
                raise
            await asyncio.sleep(_pause(error, attempt))


def _retries(lm: Any) -> int:
    return int(getattr(lm, "num_retries", 0) or 0)


def _again(lm: Any, error: LM15Error, attempt: int) -> bool:
    return attempt < _retries(lm) and isinstance(error, RETRYABLE_ERRORS)


def _pause(error: LM15Error, attempt: int) -> float:
    """Seconds, as DSPy would wait."""
    hint = error.retry_after
    return float(hint) if hint is not None and 0 <= hint < 3600 else float(min(2**attempt, 60))
