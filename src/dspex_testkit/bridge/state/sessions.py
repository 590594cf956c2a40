"""`Sessions`: what a store keeps for each session, and for callers without one."""

from collections import OrderedDict
from collections.abc import Callable

from dspex_testkit.bridge.state.records import SessionState
from dspex_testkit.bridge.state.store import SessionFilter
from dspex_testkit.calls.journal import _AnySession


class Sessions:
    """Sessions in the order of their last use, so that the expired ones stand at the front.

    Whoever looks at a session uses it. Not for several threads at once; the store has a lock around it.

    Args:
        ttl: Seconds after its last use when a session expires.
        clock: Seconds, monotonic.
        expired: Drops a session, which includes to `pop` it.
    """

    def __init__(self, ttl: float, clock: Callable[[], float], *, expired: Callable[[str], object]) -> None:
        self.shared = SessionState()
        """That of the callers without a session; it never expires."""
        self._ttl = ttl
        self._clock = clock
        self._expired = expired
        self._named: OrderedDict[str, SessionState] = OrderedDict()

    def find(self, session_id: str | None) -> SessionState | None:
        """The session if there is one, marked as used."""
        if session_id is None:
            return self.shared
        self._expire()
        if (session := self._named.get(session_id)) is not None:
            session.last_used = self._clock()
            self._named.move_to_end(session_id)
        return session

    def open(self, session_id: str | None) -> SessionState:
        """The session, begun if it is new. Only what leaves a trace begins one: DSPex makes up throw-away names."""
        if (session := self.find(session_id)) is not None:
            return session
        assert session_id is not None
        session = self._named[session_id] = SessionState(last_used=self._clock())
        return session

    def chosen(self, session: SessionFilter) -> list[SessionState]:
        """The session that is asked for, if there is one; or all, the shared one first."""
        if isinstance(session, _AnySession):
            self._expire()
            return [self.shared, *self._named.values()]
        found = self.find(session)
        return [found] if found else []

    def described(self) -> list[tuple[str, SessionState]]:
        """All of them, each with a description for a person."""
        self._expire()
        named = [(f"session {session_id!r}", state) for session_id, state in self._named.items()]
        return [("the global scope", self.shared), *named]

    def pop(self, session_id: str) -> SessionState | None:
        """Take a session out."""
        return self._named.pop(session_id, None)

    def clear(self) -> None:
        """Begin anew, the shared one too."""
        self.shared = SessionState()
        self._named.clear()

    def _expire(self) -> None:
        while self._named:
            session_id, oldest = next(iter(self._named.items()))
            if self._clock() - oldest.last_used < self._ttl:
                return
            self._expired(session_id)
