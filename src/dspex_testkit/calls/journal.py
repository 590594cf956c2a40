"""The ordered LM calls of a bridge, or of one LM that is used without a bridge, and the changes of who answers."""

import json
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from dspex_testkit.calls.call import LMCall
from dspex_testkit.calls.change import LMChange
from dspex_testkit.calls.prompt import Prompt

if TYPE_CHECKING:
    from dspex_testkit.redaction import Redactors


class _AnySession:
    """Sentinel: do not look at the session at all (None means the calls without a session)."""

    def __repr__(self) -> str:
        return "ANY_SESSION"


ANY_SESSION: Final = _AnySession()


_MAX_CHANGES = 1000


class Journal:
    """A bounded, thread-safe list of LM calls, and beside it of `LMChange` entries in the same sequence.

    The oldest calls go first when `max_calls` is reached; sequence numbers keep counting, so a reader who asks
    for everything `since` a number sees that there is a gap. A deep copy of a program or LM shares its journal.

    Args:
        max_calls: How many calls are kept.
        max_chars: How much of one text value is kept; what is cut says so.
        keep_prompts: Have calls written with their prompts, some kilobytes each.
        max_prompts: How many prompts are kept, those of the newest calls.
    """

    def __init__(
        self, *, max_calls: int = 10_000, max_chars: int = 20_000, keep_prompts: bool = False, max_prompts: int = 1000
    ) -> None:
        self._keeps_prompts = keep_prompts
        self._max_prompts = max_prompts
        self._followers: tuple[Journal, ...] = ()
        self._calls: deque[LMCall] = deque(maxlen=max_calls)
        self._changes: deque[LMChange] = deque(maxlen=min(max_calls, _MAX_CHANGES))
        self._max_chars = max_chars
        self._numbers = count(1)
        self._lock = threading.Lock()
        self.has_ended = False
        """Whether what the calls belong to is over."""
        self._secrets: frozenset[str] = frozenset()
        self._hidden: Redactors | None = None

    @property
    def keeps_prompts(self) -> bool:
        """Whether calls are to be written with their prompts."""
        return self._keeps_prompts or any(follower.keeps_prompts for follower in self._followers)

    def record(self, call: LMCall) -> LMCall:
        """Append a call; returns it as kept, with its sequence number and long texts clipped."""
        if self._hidden is not None:
            call = call.without_secrets(*self._hidden)
        kept = call if call.seq == 0 and self._is_short(call) else self._clipped(call)
        with self._lock:
            # A call is a value as soon as it has its number. Copying thirty fields to give it one would cost every
            # mocked call a fiftieth of its time.
            object.__setattr__(kept, "seq", next(self._numbers))
            self._calls.append(kept)
            # For calls without a prompt too: each place is passed once, or a prompt would be left behind.
            self._drop_oldest_prompt()
        for follower in self._followers:
            follower.record(kept)
        return kept

    def learn(self, secrets: Collection[str]) -> None:
        """Show these values in no call from here on: secrets that were part of an answer."""
        from dspex_testkit.redaction import redactors_of

        with self._lock:
            self._secrets |= frozenset(secrets)
            self._hidden = redactors_of(self._secrets)
        for follower in self._followers:
            follower.learn(secrets)

    def end(self) -> None:
        """Be followed by nobody from here on: what is still written belongs to what has ended."""
        with self._lock:
            self._followers = ()
        self.has_ended = True

    def is_followed_by(self, follower: "Journal") -> bool:
        """Whether every call is written into that one too."""
        return any(each is follower for each in self._followers)

    @contextmanager
    def followed_by(self, follower: "Journal") -> Iterator[None]:
        """Write every call into another journal too, while this is entered."""
        with self._lock:
            self._followers += (follower,)
        try:
            yield
        finally:
            with self._lock:
                self._followers = tuple(each for each in self._followers if each is not follower)

    def record_change(self, change: LMChange) -> LMChange:
        """Append a change of who answers; returns it with its sequence number."""
        with self._lock:
            kept = replace(change, seq=next(self._numbers))
            self._changes.append(kept)
        return kept

    def changes(self, *, since: int = 0, session_id: str | _AnySession | None = ANY_SESSION) -> list[LMChange]:
        """The changes in order: after a sequence number, of a session (None for those without one)."""
        with self._lock:
            snapshot = list(self._changes)
        return [
            change
            for change in snapshot
            if change.seq > since and (isinstance(session_id, _AnySession) or change.session_id == session_id)
        ]

    def calls(
        self,
        *,
        since: int = 0,
        session_id: str | _AnySession | None = ANY_SESSION,
        program_id: str | None = None,
        limit: int | None = None,
    ) -> list[LMCall]:
        """The calls in order, narrowed.

        Args:
            since: Only calls with a greater sequence number.
            session_id: Only this session's calls; None for those without a session.
            program_id: Only this program's calls.
            limit: At most this many, the newest ones.
        """
        with self._lock:
            snapshot = list(self._calls)
        found = [
            call
            for call in snapshot
            if call.seq > since
            and (isinstance(session_id, _AnySession) or call.session_id == session_id)
            and (program_id is None or call.program_id == program_id)
        ]
        return found if limit is None else found[len(found) - min(limit, len(found)) :]

    def json_lines(self, *, since: int = 0) -> Iterator[str]:
        """The calls after a sequence number, each as a line of JSON, for a file that other tools read."""
        for call in self.calls(since=since):
            yield json.dumps(call.to_dict(), ensure_ascii=False) + "\n"

    def count(self, *, session_id: str | _AnySession | None = ANY_SESSION) -> int:
        """How many calls there are: in all, or a session's (None for those without one)."""
        with self._lock:
            if isinstance(session_id, _AnySession):
                return len(self._calls)
            return sum(call.session_id == session_id for call in self._calls)

    def clear(self, *, session_id: str | _AnySession | None = ANY_SESSION) -> int:
        """Forget calls and changes (all, or one session's) and return how many calls they were."""
        with self._lock:
            before = len(self._calls)
            if isinstance(session_id, _AnySession):
                self._calls.clear()
                self._changes.clear()
            else:
                kept = [call for call in self._calls if call.session_id != session_id]
                self._calls.clear()
                self._calls.extend(kept)
                changes = [change for change in self._changes if change.session_id != session_id]
                self._changes.clear()
                self._changes.extend(changes)
            return before - len(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[LMCall]:
        return iter(self.calls())

    def __getitem__(self, index: int) -> LMCall:
        return self._calls[index]

    def __copy__(self) -> "Journal":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Journal":
        return self

    def _drop_oldest_prompt(self) -> None:
        place = len(self._calls) - 1 - self._max_prompts
        if place >= 0 and self._calls[place].prompt is not None:
            self._calls[place] = replace(self._calls[place], prompt=None)

    def _is_short(self, call: LMCall) -> bool:
        """Whether nothing has to be cut, as far as one look at each value tells."""
        # Everything that a prompt is made of stands in its messages too.
        sent = () if call.prompt is None else [message["content"] for message in call.prompt.messages]
        values = (*sent, call.completion, call.error, *call.inputs.values(), *(call.outputs or {}).values())
        most = self._max_chars
        return all(
            len(value) <= most if isinstance(value, str) else not isinstance(value, dict | list) for value in values
        )

    def _clipped(self, call: LMCall) -> LMCall:
        return replace(
            call,
            inputs=self._clip_values(call.inputs),
            outputs=None if call.outputs is None else self._clip_values(call.outputs),
            completion=self._clip(call.completion),
            error=self._clip(call.error),
            prompt=None if call.prompt is None else Prompt.from_dict(self._clip(call.prompt.to_dict())),
        )

    def _clip_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._clip(value) for name, value in values.items()}

    def _clip(self, value: Any) -> Any:
        if isinstance(value, str):
            if len(value) <= self._max_chars:
                return value
            return f"{value[: self._max_chars]}… ({len(value)} characters)"
        if isinstance(value, dict):
            return {name: self._clip(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._clip(item) for item in value]
        return value
