"""Event loops that leave nothing open."""

import asyncio
import sys
import warnings
from collections.abc import Coroutine
from typing import Any


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine; litellm's clients, which belong to its loop, are closed with it."""

    async def tidy() -> Any:
        try:
            return await work
        finally:
            if "litellm" in sys.modules:
                from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients

                await close_litellm_async_clients()

    close_current_loop()
    return asyncio.run(tidy())


def close_current_loop() -> None:
    """Close the loop that a library made for this thread; litellm does so in synchronous calls, and leaves it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            loop = asyncio.get_event_loop_policy().get_event_loop()
        except RuntimeError:
            return
    if not loop.is_running():
        loop.close()
        asyncio.set_event_loop(None)
