"""Asking a real LM for one request, with its own retries, and keeping the time of each piece of a stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any

from dspy.lm15 import RETRYABLE_ERRORS, AudioPart, DocumentPart, LM15Error, Request, Response

from dspex_testkit.dspy_internals.execution import compatibility_engine_for, engine_for
from dspex_testkit.engines.stream_events import stream_events


def ask(lm: Any, request: Request) -> Response:
    """Ask an LM once, with the retries that it is set to; only the last failure is raised.

    Raises:
        LM15Error: The provider failed, as often as the LM wants to try.
    """
    asked = _Asked(lm, request, asynchronous=False)
    while True:
        try:
            if asked.compatibility is not None:
                return asked.compatibility.complete(asked.request)
            return asked.engine.complete(asked.request)
        except LM15Error as error:
            time.sleep(asked.pause_after(error))


async def ask_async(lm: Any, request: Request) -> Response:
    """One answer, asynchronously.

    Raises:
        LM15Error: The provider failed, as often as the LM wants to try.
    """
    asked = _Asked(lm, request, asynchronous=True)
    while True:
        try:
            if asked.compatibility is not None:
                return await asked.compatibility.complete_async(asked.request)
            return await asked.engine.complete(asked.request)
        except LM15Error as error:
            await asyncio.sleep(asked.pause_after(error))


def stream(lm: Any, request: Request) -> Iterator[Any]:
    """The events of a streamed answer. What fails before the first event is tried again.

    Raises:
        LM15Error: The provider failed.
    """
    asked = _Asked(lm, request, asynchronous=False)
    if asked.compatibility is not None:
        yield from stream_events(ask(lm, request))
        return
    while True:
        try:
            with closing(asked.engine.stream(asked.request)) as events:
                for event in events:
                    asked.begun = True
                    yield event
            return
        except LM15Error as error:
            time.sleep(asked.pause_after(error))


async def stream_async(lm: Any, request: Request) -> AsyncIterator[Any]:
    """The events of a streamed answer, asynchronously.

    Raises:
        LM15Error: The provider failed.
    """
    asked = _Asked(lm, request, asynchronous=True)
    if asked.compatibility is not None:
        for event in stream_events(await ask_async(lm, request)):
            yield event
        return
    while True:
        try:
            async with aclosing(asked.engine.stream(asked.request)) as events:
                async for event in events:
                    asked.begun = True
                    yield event
            return
        except LM15Error as error:
            await asyncio.sleep(asked.pause_after(error))


def _is_media(request: Request) -> bool:
    return any(isinstance(part, AudioPart | DocumentPart) for message in request.messages for part in message.parts)


class _Asked:
    """One request to an LM, over as many attempts as the LM makes."""

    def __init__(self, lm: Any, request: Request, *, asynchronous: bool) -> None:
        self.request = replace(request, model=lm.model)
        self.compatibility = (
            compatibility_engine_for(lm, asynchronous=asynchronous) if _is_media(self.request) else None
        )
        """Litellm, for what DSPy hands to nobody else: sounds and named files, as it comes to the provider."""
        self.engine: Any = None if self.compatibility else engine_for(lm, self.request, asynchronous=asynchronous)
        self.begun = False
        """Whether anything of the answer has come; then there is no second attempt."""
        self._left = int(getattr(lm, "num_retries", 0) or 0)
        self._attempt = 0

    def pause_after(self, error: LM15Error) -> float:
        """Seconds before the next attempt, as DSPy would wait.

        Raises:
            LM15Error: There is none; the error itself.
        """
        if self.begun or not self._left or not isinstance(error, RETRYABLE_ERRORS):
            raise error
        self._left -= 1
        self._attempt += 1
        hint = error.retry_after
        return float(hint) if hint is not None and 0 <= hint < 3600 else float(min(2 ** (self._attempt - 1), 60))
