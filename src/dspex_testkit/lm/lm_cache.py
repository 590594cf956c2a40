"""LMs that are kept between executions, one per config, and who is using them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from dspex_testkit.lm.config.values import LMConfig


class KeptLM:
    """An LM, and how many are using it now.

    Args:
        lm: The `dspy.LM`.
        member: What answers behind it; members of an ensemble are asked without the LM in front.
        holds: Others that it uses for as long as it is kept.
    """

    __slots__ = ("holds", "lm", "member", "users")

    def __init__(self, lm: Any, member: Any, holds: "Sequence[KeptLM]" = ()) -> None:
        self.lm = lm
        self.member = member
        self.holds = tuple(holds)
        self.users = 0


class KeptLMs:
    """LMs by the digest of their config; thread-safe.

    Args:
        build: Makes the LM of a config that nobody has asked for before.
        most: How many are kept; the least recently used of those that nobody is using is closed first.
    """

    def __init__(self, build: Callable[[LMConfig], KeptLM], *, most: int) -> None:
        self._build = build
        self._most = most
        self._kept: OrderedDict[str, KeptLM] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, config: LMConfig) -> KeptLM:
        """The LM for this config, for as long as it is not given back."""
        digest = config.digest
        with self._lock:
            if (kept := self._kept.get(digest)) is not None:
                self._kept.move_to_end(digest)
                kept.users += 1
                return kept
        built = self._build(config)
        with self._lock:
            # Another thread may have been faster.
            kept = self._kept.setdefault(digest, built)
            kept.users += 1
        if kept is not built:
            self._close_one(built)
        self._close_unused()
        return kept

    def give_back(self, kept: KeptLM) -> None:
        """End the use of an LM."""
        with self._lock:
            kept.users -= 1
            over = len(self._kept) > self._most
        if over:
            self._close_unused()

    def __len__(self) -> int:
        return len(self._kept)

    def close(self) -> None:
        """Close all LMs, also those in use."""
        with self._lock:
            kept, self._kept = list(self._kept.values()), OrderedDict()
        for one in kept:
            one.lm.close()

    def _close_unused(self) -> None:
        with self._lock:
            unused = [digest for digest, kept in self._kept.items() if not kept.users]
            closing = [self._kept.pop(digest) for digest in unused[: max(0, len(self._kept) - self._most)]]
        for one in closing:
            self._close_one(one)

    def _close_one(self, kept: KeptLM) -> None:
        kept.lm.close()
        for held in kept.holds:
            self.give_back(held)


class Lease:
    """A context in which an LM is not closed."""

    __slots__ = ("_config", "_lms", "_taken")

    def __init__(self, lms: KeptLMs, config: LMConfig) -> None:
        self._lms = lms
        self._config = config

    def __enter__(self) -> Any:
        self._taken = self._lms.take(self._config)
        return self._taken.lm

    def __exit__(self, *exc: object) -> None:
        self._lms.give_back(self._taken)
