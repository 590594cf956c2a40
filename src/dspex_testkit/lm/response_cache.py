"""Remembered answers: in the memory of this process, or on disk for others too.

An entry is JSON. Its key is made of everything that decides an answer: the kind of engine, provider, model,
parameters, address, key, a mock's spec, the canonical request and the rollout; hashed with a salt, so that nothing
can be read back from it. DSPy's own cache, whose key knows neither engine nor address, is off for every LM here.
"""

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import cachetools
import diskcache

from dspex_testkit.lm.cache_settings import CacheSettings
from dspex_testkit.lm.config import LMConfig

Where = Literal["memory", "disk"]

_ENTRY_OVERHEAD = 200
_SALT_KEY = "salt"


class _Shelf(Protocol):
    """One place for entries."""

    def salt(self) -> bytes: ...
    def get(self, key: str) -> str | None: ...
    def put(self, key: str, entry: str, ttl_s: float | None) -> None: ...
    def clear(self) -> int: ...
    def describe(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


class ResponseCache:
    """Answers by what was asked of whom; thread-safe.

    Args:
        settings: Bounds and folder.
        clock: Seconds; injected by tests.
    """

    def __init__(self, settings: CacheSettings | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings or CacheSettings()
        self._clock = clock
        self._shelves: dict[Where, _Shelf] = {}
        self._hits: dict[Where, int] = {"memory": 0, "disk": 0}
        self._misses: dict[Where, int] = {"memory": 0, "disk": 0}
        self._lock = threading.RLock()

    def key(self, where: Where, config: LMConfig, engine: str, request: Mapping[str, Any], rollout: object) -> str:
        """The key of an answer.

        Args:
            where: Each place has a salt of its own.
            config: Who is asked, key included.
            engine: The kind of engine that answers for it: a mock in place of a model is not that model.
            request: The canonical request as JSON.
            rollout: DSPy's `rollout_id`, which asks for another answer to the same request.
        """
        who = config.with_fields(cache=None).dump_with_key()
        whole = json.dumps([engine, who, request, rollout], sort_keys=True, separators=(",", ":"), default=repr)
        return hashlib.blake2b(whole.encode(), key=self._shelf(where).salt(), digest_size=32).hexdigest()

    def get(self, where: Where, key: str) -> dict[str, Any] | None:
        """The entry, if it is still there."""
        found = self._shelf(where).get(key)
        with self._lock:
            counted = self._misses if found is None else self._hits
            counted[where] += 1
        return None if found is None else json.loads(found)

    def put(self, where: Where, key: str, entry: Mapping[str, Any], ttl_s: float | None) -> None:
        """Remember an entry, which is JSON."""
        self._shelf(where).put(key, json.dumps(entry), ttl_s)

    def stats(self) -> dict[str, Any]:
        """Hits, misses, entries and bytes of each place that was used, as JSON values."""
        with self._lock:
            shelves = dict(self._shelves)
        places: dict[str, Any] = {
            str(where): {
                "hits": self._hits[where],
                "misses": self._misses[where],
                **shelf.describe(),
                "max_bytes": self.settings.max_bytes,
            }
            for where, shelf in shelves.items()
        }
        return {"default": self.settings.mode, "ttl_s": self.settings.ttl_s, **places}

    def clear(self, where: Where | None = None) -> int:
        """Forget entries, all or those of one place, and return how many."""
        places: tuple[Where, ...] = ("memory", "disk") if where is None else (where,)
        # What another process left on disk is forgotten too, where that was asked for by name or is in use.
        wanted = [place for place in places if place in self._shelves or place == where]
        return sum(self._shelf(place).clear() for place in wanted)

    def close(self) -> None:
        """Close what is open on disk."""
        with self._lock:
            shelves, self._shelves = self._shelves, {}
        for shelf in shelves.values():
            shelf.close()

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

    def salt(self) -> bytes:
        return self._salt

    def get(self, key: str) -> str | None:
        with self._lock:
            found = self._entries.get(key)
        return None if found is None else found[0]

    def put(self, key: str, entry: str, ttl_s: float | None) -> None:
        if _ENTRY_OVERHEAD + len(entry) > self._max_bytes:
            return
        with self._lock:
            self._entries[key] = (entry, float("inf") if ttl_s is None else ttl_s)

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
    """Entries in a folder that other processes may use too; opened on first use, never before a fork."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._cache = diskcache.Cache(
            str(folder),
            disk=diskcache.JSONDisk,
            size_limit=max_bytes,
            eviction_policy="least-recently-used",
        )

    def salt(self) -> bytes:
        self._cache.add(_SALT_KEY, secrets.token_hex(32))
        return bytes.fromhex(self._cache[_SALT_KEY])

    def get(self, key: str) -> str | None:
        found: str | None = self._cache.get(key)
        return found

    def put(self, key: str, entry: str, ttl_s: float | None) -> None:
        self._cache.set(key, entry, expire=ttl_s)

    def clear(self) -> int:
        count = self._count()
        self._cache.clear()
        return count

    def describe(self) -> dict[str, Any]:
        self._cache.expire()
        return {"entries": self._count(), "bytes": int(self._cache.volume())}

    def close(self) -> None:
        self._cache.close()

    def _count(self) -> int:
        return len(self._cache) - (_SALT_KEY in self._cache)
