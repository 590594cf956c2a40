"""Event loops that leave nothing open."""

import asyncio
import sys
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

    return asyncio.run(tidy())
