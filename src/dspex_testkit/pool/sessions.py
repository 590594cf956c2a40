"""What DSPex's pool remembers of sessions and programs, and sends along with an execution.

Any worker may get any session, so the pool keeps a copy of each created program and attaches it as ``program_data``.
The rules of who stores what are DSPex's, gaps included: a program that was created in the session ``anonymous`` is
stored nowhere, and a deleted program's copy stays.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dspex_testkit.protocol import Response

ANONYMOUS = "anonymous"
"""The session id that DSPex gives to calls without a session."""

SESSION_TTL = 3600.0
"""Seconds after its last use when a session is forgotten."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What is known about a session; times are the store's clock's, in seconds."""

    session_id: str
    """Its name."""

    started_at: float
    """When it was first used."""

    last_activity: float
    """When it was last used."""

    operations: int = 0
    """Commands that succeeded in it."""

    programs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``program_data`` by program id."""


class SessionStore:
    """Sessions with their programs, and the programs of calls without a session.

    Args:
        ttl: Seconds after its last use when a session is forgotten.
        clock: Seconds, monotonic; injected by tests.
    """

    def __init__(self, *, ttl: float = SESSION_TTL, clock: Callable[[], float] = time.monotonic) -> None:
        self.ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, SessionInfo] = {}
        self._global: dict[str, dict[str, Any]] = {}

    def outgoing(self, command: str, args: Mapping[str, Any], session_id: str | None) -> dict[str, Any]:
        """The arguments with ``program_data``, where the store knows the program that is executed.

        Args:
            command: The command.
            args: Its arguments.
            session_id: The caller's session; None for a call without one.
        """
        sent = dict(args)
        if command == "execute_program" and "program_data" not in sent:
            data = self.program_data(str(sent.get("program_id")), session_id)
            if data is not None:
                sent["program_data"] = data
        return sent

    def learn(self, command: str, args: Mapping[str, Any], session_id: str | None, response: Response) -> None:
        """Take note of what a command led to; failures are forgotten."""
        if not response.success:
            return
        result = response.result
        with self._lock:
            if session_id is not None:
                self._touch(session_id)
            program_id = result.get("program_id") or args.get("id")
            if command != "create_program" or not isinstance(program_id, str):
                return
            data = program_data_of(program_id, result)
            if session_id is None:
                self._global[program_id] = data
            elif session_id != ANONYMOUS:
                session = self._sessions[session_id]
                self._sessions[session_id] = replace(session, programs={**session.programs, program_id: data})

    def program_data(self, program_id: str, session_id: str | None) -> dict[str, Any] | None:
        """What is sent along when a program is executed; None where nothing is known.

        A named session sees its own programs only, everybody else those that were created without a session.
        """
        with self._lock:
            if session_id is None or session_id == ANONYMOUS:
                data: Mapping[str, Any] | None = self._global.get(program_id)
            else:
                self._sweep()
                session = self._sessions.get(session_id)
                data = session.programs.get(program_id) if session else None
            return dict(data) if data is not None else None

    def end_session(self, session_id: str) -> bool:
        """Forget a session, and return whether it was known. Workers keep its state, as they do under DSPex."""
        with self._lock:
            return self._sessions.pop(session_id, None) is not None

    def sessions(self) -> tuple[SessionInfo, ...]:
        """The sessions in use, in the order of their first use."""
        with self._lock:
            self._sweep()
            return tuple(self._sessions.values())

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._sessions.clear()
            self._global.clear()

    def _touch(self, session_id: str) -> None:
        self._sweep()
        now = self._clock()
        session = self._sessions.get(session_id) or SessionInfo(session_id, now, now)
        self._sessions[session_id] = replace(session, last_activity=now, operations=session.operations + 1)

    def _sweep(self) -> None:
        oldest = self._clock() - self.ttl
        for session_id in [id for id, session in self._sessions.items() if session.last_activity < oldest]:
            del self._sessions[session_id]


def program_data_of(program_id: str, created: Mapping[str, Any]) -> dict[str, Any]:
    """What DSPex keeps of a create result: these keys and no others."""
    return {
        "program_id": program_id,
        "signature_def": created.get("signature_def"),
        "signature_class": created.get("signature_class"),
        "field_mapping": created.get("field_mapping"),
        "fallback_used": created.get("fallback_used"),
        "created_at": int(time.time()),
        "execution_count": 0,
        "last_executed": None,
        "program_type": created.get("program_type"),
        "signature": created.get("signature"),
    }
