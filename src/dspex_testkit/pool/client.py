"""What a caller does with a bridge, however it is reached: in this process, in one of its own, in a pool."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import count
from typing import Any, Protocol

from dspex_testkit.errors import RemoteCommandError, WorkerTimeoutError
from dspex_testkit.protocol import Request, Response

__tracebackhide__ = True  # a test whose command fails shows its own lines

Args = Mapping[str, Any]
EXECUTIONS = frozenset({"execute_program", "execute_gemini_program"})
"""Commands that a bridge itself can end when their time is up."""


class BridgeClient(ABC):
    """Asks a bridge, in blocking code or in an event loop.

    `ask` gives the answer as it came; `call` gives the result, and raises where there is none.
    """

    @abstractmethod
    def ask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """The answer to one command.

        Args:
            command: Its name.
            args: Its arguments.
            timeout: Seconds to wait; the client's own if None.

        Raises:
            PoolError: There is no answer; a failed command is one.
        """

    @abstractmethod
    async def aask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """`ask` for an event loop."""

    def call(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> dict[str, Any]:
        """The result of one command.

        Raises:
            RemoteCommandError: The bridge says that it failed.
            PoolError: There is no answer.
        """
        return result_of(command, self.ask(command, args, timeout=timeout))

    async def acall(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> dict[str, Any]:
        """`call` for an event loop."""
        return result_of(command, await self.aask(command, args, timeout=timeout))


def result_of(command: str, response: Response) -> dict[str, Any]:
    """The result in an answer.

    Raises:
        RemoteCommandError: It says that the command failed.
    """
    if response.success:
        return response.result
    raise RemoteCommandError(command, response.message or "", response.code, details=response.details)


class Handler(Protocol):
    """An object that answers requests, such as a `Bridge`."""

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        ...


class InProcessBridge(BridgeClient):
    """A bridge object in this process.

    A command runs in the thread that asks, so that breakpoints, coverage and `dspy.context` reach it; a time limit
    is one for executions. In an event loop it runs in a thread of its own.

    Args:
        bridge: Answers.
    """

    def __init__(self, bridge: Handler) -> None:
        self.bridge = bridge
        self._ids = count(1)

    def ask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """The answer to one command.

        Raises:
            WorkerTimeoutError: An execution did not end in time, and was cancelled.
        """
        given = dict(args or {})
        if limited := timeout is not None and command in EXECUTIONS and "timeout_ms" not in given:
            given["timeout_ms"] = max(1, round((timeout or 0) * 1000))
        response = self.bridge.handle(Request(next(self._ids), command, given))
        if limited and response.code == "execution_timeout":
            raise WorkerTimeoutError(
                f"{command} did not end within {timeout:g} s, in this process", details={"timeout": timeout}
            )
        return response

    async def aask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """`ask` for an event loop."""
        return await asyncio.to_thread(self.ask, command, args, timeout=timeout)
