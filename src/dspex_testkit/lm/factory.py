"""Building the `dspy.LM` for a resolved config, and keeping it for the next execution."""

import threading
from collections import OrderedDict
from typing import Any

from dspex_testkit.calls import CALLER_SETTING, Caller, LocalCounters
from dspex_testkit.lm.config import LMConfig
from dspex_testkit.lm.policy import OfflinePolicy


class _CallersCounters:
    """The counters of whoever asks, so that one LM can serve scopes that count apart."""

    def __init__(self) -> None:
        self._own = LocalCounters()

    def next_index(self, key: str) -> int:
        """Fetch and increment, in the counters of the caller's assignment."""
        import dspy

        caller = dspy.settings.get(CALLER_SETTING)
        counters = caller.counters if isinstance(caller, Caller) else None
        return (counters or self._own).next_index(key)


class LMFactory:
    """LMs by configuration: equal configs share one LM, and with it one connection pool.

    What an engine counts does not live in the LM but in the counters of the `Caller`, so sharing never lets one
    scope's script move another's.

    Args:
        policy: What answers for a config of a real provider.
        max_lms: How many LMs are kept; the least recently used is closed first.
    """

    def __init__(self, policy: OfflinePolicy, *, max_lms: int = 256) -> None:
        self._policy = policy
        self._max_lms = max_lms
        self._lms: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, config: LMConfig) -> Any:
        """The LM for this config, built on first use."""
        digest = config.digest
        with self._lock:
            if (lm := self._lms.get(digest)) is not None:
                self._lms.move_to_end(digest)
                return lm
        lm = self._build(config)
        with self._lock:
            lm = self._lms.setdefault(digest, lm)
            evicted = [self._lms.popitem(last=False)[1] for _ in range(len(self._lms) - self._max_lms)]
        for old in evicted:
            old.close()
        return lm

    def __len__(self) -> int:
        return len(self._lms)

    def close(self) -> None:
        """Close every LM's connections."""
        with self._lock:
            lms, self._lms = list(self._lms.values()), OrderedDict()
        for lm in lms:
            lm.close()

    def _build(self, config: LMConfig) -> Any:
        if self._policy.mocks(config):
            from dspex_testkit.lm.capabilities import capabilities_of
            from dspex_testkit.mock_lm import MockLM

            return MockLM.from_spec(
                config.mock or {},
                provider=config.provider,
                model=config.model,
                params=config.params,
                capabilities=capabilities_of(config),
                state=_CallersCounters(),
            )
        from dspex_testkit.lm.live import LiveLM

        return LiveLM(config)
