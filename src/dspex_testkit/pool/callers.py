"""Who asks a pool: one session, or nobody's."""

from typing import Protocol

from dspex_testkit.pool.client import Args, BridgeClient
from dspex_testkit.protocol import Response


class AskedAs(Protocol):
    """A pool that can be asked on behalf of somebody."""

    def ask_as(
        self, session_id: str | None, command: str, args: Args | None = None, *, timeout: float | None = None
    ) -> Response:
        """The answer to one command."""
        ...

    async def aask_as(
        self, session_id: str | None, command: str, args: Args | None = None, *, timeout: float | None = None
    ) -> Response:
        """`ask_as` for an event loop."""
        ...


class Caller(BridgeClient):
    """Asks a pool on behalf of one session, or of none.

    Args:
        pool: Who is asked.
        session_id: Whose programs are remembered; None for callers without a session.
        sent_id: The session id that goes with every command; None sends none.
    """

    def __init__(self, pool: AskedAs, session_id: str | None, *, sent_id: str | None) -> None:
        self._pool = pool
        self._session_id = session_id
        self._added = {} if sent_id is None else {"session_id": sent_id}

    def ask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """The answer to one command, as of `BridgePool.ask`."""
        return self._pool.ask_as(self._session_id, command, {**(args or {}), **self._added}, timeout=timeout)

    async def aask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """`ask` for an event loop."""
        sent = {**(args or {}), **self._added}
        return await self._pool.aask_as(self._session_id, command, sent, timeout=timeout)


def session_in(args: Args | None) -> str | None:
    """The session that a command's arguments name."""
    session_id = (args or {}).get("session_id")
    return session_id if isinstance(session_id, str) else None
