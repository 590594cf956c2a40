"""Remembered answers: in the memory of this process, or on disk for others too.

An entry is JSON. Its key is made of everything that decides an answer: the kind of engine, provider, model,
parameters, address, key, a mock's spec, the canonical request and the rollout; hashed with a salt, so that nothing
can be read back from it. DSPy's own cache, whose key knows neither engine nor address, is off for every LM here.
"""

import hashlib
import json
import logging
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import cachetools
import diskcache

from dspex_testkit.errors import CacheUnavailableError
from dspex_testkit.lm.cache.settings import CacheSettings
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.redaction import NO_LOOKS, Redactor, Secrets

logger = logging.getLogger(__name__)

Where = Literal["memory", "disk"]

_ENTRY_OVERHEAD = 750
"""Bytes that an entry in memory takes beside its text, as measured: key, times, links and the heap's leftovers."""
_SALT_KEY = "salt"
_LOCK_PATIENCE = 5.0
"""Seconds that an answer may wait for another process which writes to the disk's entries."""
_UNBOUNDED = 1 << 62
Entry = TypeVar("Entry")
_PLACE_FAULTS = (OSError, sqlite3.Error, diskcache.Timeout)
"""What a full, read-only, locked or damaged disk raises."""


class _Shelf(Protocol):
    """One place for entries."""

    def get(self, key: str) -> str | None: ...
    def put(self, key: str, entry: str, ttl_s: float | None) -> None: ...
    def clear(self) -> int: ...
    def describe(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


class ResponseCache:
    """Answers by what was asked of whom; thread-safe.

    A place that cannot be read or written remembers nothing, and says so in the log and in `stats`: an answer that was
    had is worth more than its copy.

    Args:
        settings: Bounds and folder.
        secrets: What no answer on disk may hold.
        clock: Seconds; injected by tests.
    """

    def __init__(
        self,
        settings: CacheSettings | None = None,
        *,
        secrets: Secrets | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or CacheSettings()
        self._secrets = Redactor(secrets or Secrets(), NO_LOOKS)
        self._clock = clock
        self._shelves: dict[Where, _Shelf] = {}
        self._hits: dict[Where, int] = {"memory": 0, "disk": 0}
        self._misses: dict[Where, int] = {"memory": 0, "disk": 0}
        self._faults: dict[Where, int] = {"memory": 0, "disk": 0}
        self._last_fault: dict[Where, str] = {}
        self._lock = threading.RLock()

    def key(self, config: LMConfig, engine: str, request: Mapping[str, Any], rollout: object) -> str:
        """The key of an answer, to which each place adds a salt of its own.

        Args:
            config: Who is asked, key included.
            engine: The kind of engine that answers for it: a mock in place of a model is not that model.
            request: The canonical request as JSON.
            rollout: DSPy's `rollout_id`, which asks for another answer to the same request.
        """
        who = config.with_fields(cache=None).dump_with_key()
        whole = json.dumps([engine, who, request, rollout], sort_keys=True, separators=(",", ":"), default=repr)
        return hashlib.blake2b(whole.encode(), digest_size=32).hexdigest()

    def get(self, where: Where, key: str, read: Callable[[Any], Entry]) -> Entry | None:
        """The entry, if it is still there and can be read.

        Args:
            where: In which place.
            key: As of `key`.
            read: Makes the entry of its JSON values; one that it cannot read counts as not there.
        """
        entry: Entry | None = None
        try:
            found = self._shelf(where).get(key)
            if found is not None:
                entry = read(json.loads(found))
        except Exception as error:
            # Beside the place's own faults: an entry that is damaged, or that another version wrote. It is asked for
            # again, and written anew.
            self._note_fault(where, error)
        with self._lock:
            counted = self._misses if entry is None else self._hits
            counted[where] += 1
        return entry

    def put(self, where: Where, key: str, entry: Mapping[str, Any], ttl_s: float | None) -> None:
        """Remember an entry, which is JSON, if the place can be written, and it holds no secret where it would stay."""
        if where == "disk" and self._secrets.concerns(entry):
            return
        text = json.dumps(entry)
        try:
            self._shelf(where).put(key, text, ttl_s)
        except _PLACE_FAULTS as error:
            self._note_fault(where, error)

    def stats(self) -> dict[str, Any]:
        """Hits, misses, entries and bytes of each place that was used, as JSON values; and what went wrong there."""
        places = {str(where): self._describe(where) for where in self._places() if self._was_used(where)}
        return {"default": self.settings.mode, "ttl_s": self.settings.ttl_s, **places}

    def clear(self, where: Where | None = None) -> int:
        """Forget entries, all or those of one place, and return how many.

        Raises:
            CacheUnavailableError: A place cannot be read or written; others are cleared all the same.
        """
        # What another process left on disk is forgotten too, where that was asked for by name or is in use.
        wanted = [place for place in self._places() if place == where or (where is None and self._was_used(place))]
        cleared = 0
        failed: CacheUnavailableError | None = None
        for place in wanted:
            try:
                cleared += self._shelf(place).clear()
            except _PLACE_FAULTS as error:
                failed = self._unavailable(error)
        if failed is not None:
            raise failed
        return cleared

    def close(self) -> None:
        """Close what is open on disk."""
        with self._lock:
            shelves, self._shelves = self._shelves, {}
        for where, shelf in shelves.items():
            try:
                shelf.close()
            except _PLACE_FAULTS as error:
                self._note_fault(where, error)

    @staticmethod
    def _places() -> tuple[Where, ...]:
        return ("memory", "disk")

    def _was_used(self, where: Where) -> bool:
        return where in self._shelves or self._faults[where] > 0

    def _describe(self, where: Where) -> dict[str, Any]:
        described: dict[str, Any] = {"hits": self._hits[where], "misses": self._misses[where]}
        try:
            described |= self._shelf(where).describe()
        except _PLACE_FAULTS as error:
            self._note_fault(where, error)
        described["max_bytes"] = self.settings.max_bytes
        if faults := self._faults[where]:
            described |= {"faults": faults, "last_fault": self._last_fault[where]}
        return described

    def _note_fault(self, where: Where, error: Exception) -> None:
        reason = _reason(error)
        with self._lock:
            known = self._last_fault.get(where) == reason
            self._faults[where] += 1
            self._last_fault[where] = reason
        if not known:
            logger.warning("An answer is not remembered (%s): %s", where, self._unavailable(error).message)

    def _unavailable(self, error: Exception) -> CacheUnavailableError:
        folder = Path(self.settings.folder).expanduser()
        return CacheUnavailableError(
            f"The remembered answers in {folder} cannot be used: {_reason(error)}. Make room or make the folder "
            "writable, delete it if it is damaged, or name another one in DSPEX_TESTKIT_CACHE_DIR",
            details={"path": str(folder), "reason": _reason(error)},
        )

    def _shelf(self, where: Where) -> _Shelf:
        with self._lock:
            if where not in self._shelves:
                max_bytes = self.settings.max_bytes
                self._shelves[where] = (
                    _MemoryShelf(max_bytes, self._clock)
                    if where == "memory"
                    else _DiskShelf(Path(self.settings.folder).expanduser(), max_bytes)
                )
            return self._shelves[where]


def _reason(error: Exception) -> str:
    if isinstance(error, diskcache.Timeout):
        # diskcache says so of whatever keeps it from writing, and hides what that was.
        error = error.__context__ if isinstance(error.__context__, Exception) else error
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


class _MemoryShelf:
    """Entries in this process."""

    def __init__(self, max_bytes: int, clock: Callable[[], float]) -> None:
        self._salt = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._max_bytes = max_bytes
        self._entries: cachetools.TLRUCache[str, tuple[str, float]] = cachetools.TLRUCache(
            max_bytes,
            ttu=lambda _key, value, now: now + value[1],
            timer=clock,
            getsizeof=lambda value: _ENTRY_OVERHEAD + len(value[0]),
        )

    def get(self, key: str) -> str | None:
        with self._lock:
            found = self._entries.get(_salted(key, self._salt))
        return None if found is None else found[0]

    def put(self, key: str, entry: str, ttl_s: float | None) -> None:
        if _ENTRY_OVERHEAD + len(entry) > self._max_bytes:
            return
        with self._lock:
            self._entries[_salted(key, self._salt)] = (entry, float("inf") if ttl_s is None else ttl_s)

    def clear(self) -> int:
        with self._lock:
            count = len(self._entries)
            self._entries.clear()
            return count

    def describe(self) -> dict[str, Any]:
        with self._lock:
            self._entries.expire()
            return {"entries": len(self._entries), "bytes": int(self._entries.currsize)}

    def close(self) -> None:
        self.clear()


class _DiskShelf:
    """Entries in a folder that other processes may use too; opened on first use, never before a fork.

    One thread does all of it: SQLite wants each connection closed by the thread that opened it, and the threads that
    ask come and go.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._cache = diskcache.Cache.__new__(diskcache.Cache)
        self._thread = ThreadPoolExecutor(1, "remembered answers")
        # Where nobody closes it, it is closed once nobody has it; by then nobody may wait for it.
        self._dropped = weakref.finalize(self, _close_soon, self._cache, self._thread)
        self._dropped.atexit = False
        try:
            self._do(
                self._cache.__init__,
                str(folder),
                timeout=_LOCK_PATIENCE,
                disk=_PlainDisk,
                size_limit=max_bytes,
                eviction_policy="least-recently-used",
                # No entry is a file of its own: a disk that is full in the middle of one would keep the half for ever.
                disk_min_file_size=_UNBOUNDED,
            )
        except BaseException:
            self.close()
            raise

    def get(self, key: str) -> str | None:
        return self._do(self._get, key)

    def put(self, key: str, entry: str, ttl_s: float | None) -> None:
        self._do(self._put, key, entry, ttl_s)

    def clear(self) -> int:
        return self._do(self._clear)

    def describe(self) -> dict[str, Any]:
        return self._do(self._describe)

    def close(self) -> None:
        self._dropped.detach()
        try:
            self._do(self._cache.close)
        finally:
            self._thread.shutdown()

    def _do(self, work: Callable[..., Entry], *args: Any, **options: Any) -> Entry:
        return self._thread.submit(work, *args, **options).result()

    def _get(self, key: str) -> str | None:
        found: str | None = self._cache.get(_salted(key, self._salt()))
        return found

    def _put(self, key: str, entry: str, ttl_s: float | None) -> None:
        self._cache.set(_salted(key, self._salt()), entry, expire=ttl_s)

    def _clear(self) -> int:
        count = self._count()
        self._cache.clear()
        return count

    def _describe(self) -> dict[str, Any]:
        self._cache.expire()
        return {"entries": self._count(), "bytes": int(self._cache.volume())}

    def _salt(self) -> bytes:
        # Looked up each time: another process may have cleared the folder.
        salt = self._cache.get(_SALT_KEY)
        if salt is None:
            self._cache.add(_SALT_KEY, secrets.token_hex(32))
            salt = self._cache[_SALT_KEY]
        return bytes.fromhex(salt)

    def _count(self) -> int:
        return len(self._cache) - (_SALT_KEY in self._cache)


def _close_soon(cache: diskcache.Cache, thread: ThreadPoolExecutor) -> None:
    thread.submit(cache.close)
    thread.shutdown(wait=False)


class _PlainDisk(diskcache.JSONDisk):  # type: ignore[misc]  # diskcache has no types
    """JSON in the database; what somebody has pickled is never loaded."""

    def fetch(self, mode: int, filename: str, value: Any, read: bool) -> Any:
        """One value of a row."""
        if mode == diskcache.core.MODE_PICKLE:
            raise ValueError("an entry that is no JSON")
        return super().fetch(mode, filename, value, read)


def _salted(key: str, salt: bytes) -> str:
    return hashlib.blake2b(key.encode(), key=salt, digest_size=32).hexdigest()
