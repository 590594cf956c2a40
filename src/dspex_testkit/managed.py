"""What is started and stopped, by hand or by a block, in threads or in an event loop."""

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, Self, TypeVar

Ended = TypeVar("Ended")


class Managed(ABC, Generic[Ended]):
    """Something that runs from `start` to `stop`, or for a ``with`` or ``async with``; `stop` tells how it ended."""

    @abstractmethod
    def start(self) -> Self:
        """Begin."""

    @abstractmethod
    def stop(self) -> Ended:
        """End; safe to call again."""

    async def astart(self) -> Self:
        """`start` for an event loop."""
        return await asyncio.to_thread(self.start)

    async def astop(self) -> Ended:
        """`stop` for an event loop."""
        return await asyncio.to_thread(self.stop)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await self.astart()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.astop()
