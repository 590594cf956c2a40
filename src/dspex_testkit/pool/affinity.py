"""Which worker a session would like to have."""

from typing import Protocol


class Affinity(Protocol):
    """Remembers who served whom. The pool calls it under its lock, so it must be quick."""

    strict: bool
    """Whether a session waits for its worker as long as that lives, rather than take another one."""

    def home_of(self, session_id: str | None) -> str | None:
        """The worker that a session would like; None if any will do."""
        ...

    def served(self, session_id: str | None, worker_id: str) -> None:
        """A worker was given to a session."""
        ...

    def gone(self, worker_id: str) -> None:
        """A worker is no more."""
        ...


class AnyWorker:
    """Whoever has been idle longest: what DSPex's pools do."""

    strict = False

    def home_of(self, session_id: str | None) -> str | None:
        """Any will do."""
        return None

    def served(self, session_id: str | None, worker_id: str) -> None:
        """Nothing is remembered."""

    def gone(self, worker_id: str) -> None:
        """Nothing is remembered."""


class SessionAffinity:
    """The worker that served the session last.

    Args:
        strict: Wait for it while it is busy, rather than take another one.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._homes: dict[str, str] = {}

    def home_of(self, session_id: str | None) -> str | None:
        """Who served the session last; any will do for calls without a session."""
        return None if session_id is None else self._homes.get(session_id)

    def served(self, session_id: str | None, worker_id: str) -> None:
        """The session's home is there from now on."""
        if session_id is not None:
            self._homes[session_id] = worker_id

    def gone(self, worker_id: str) -> None:
        """Its sessions go wherever there is room."""
        self._homes = {session: home for session, home in self._homes.items() if home != worker_id}
