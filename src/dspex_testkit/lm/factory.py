"""Building the `dspy.LM` for a resolved config, and keeping it for the next execution."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


class KeptLM:
    """An LM of the factory, and how many are using it now."""

    __slots__ = ("digest", "lm", "part", "users")

    def __init__(self, digest: str, lm: Any, part: Any) -> None:
        self.digest = digest
        self.lm = lm
        self.part = part
        """What answers behind it; members of an ensemble are asked without the LM in front."""
        self.users = 0


class LMFactory:
    """LMs by configuration: equal configs share one LM, and with it one connection pool.

    What an engine counts does not live in the LM but in the counters of the `Caller`, so sharing never lets one
    scope's script move another's.

    Args:
        policy: What answers for a config of a real provider.
        seed: The seed of random mocks that name none.
        allow_import: Module prefixes from which functions may be imported.
        max_lms: How many LMs are kept; the least recently used of those that nobody is using is closed first.
    """

    def __init__(
        self, policy: OfflinePolicy, *, seed: int = 0, allow_import: Sequence[str] = (), max_lms: int = 64
    ) -> None:
        self._policy = policy
        self._seed = seed
        self._allow_import = tuple(allow_import)
        self._max_lms = max_lms
        self._kept: OrderedDict[str, KeptLM] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def lease(self, config: LMConfig) -> Iterator[Any]:
        """The LM for this config, built on first use; not closed while it is leased."""
        kept = self.take(config)
        try:
            yield kept.lm
        finally:
            self.give_back(kept)

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
            kept = self._kept.setdefault(digest, built)
            kept.users += 1
        if kept is not built:
            built.lm.close()
        self._close_unused(self._max_lms)
        return kept

    def give_back(self, kept: KeptLM) -> None:
        """End the use of an LM."""
        with self._lock:
            kept.users -= 1
            over = len(self._kept) > self._max_lms
        if over:
            self._close_unused(self._max_lms)

    def __len__(self) -> int:
        return len(self._kept)

    def close(self) -> None:
        """Close every LM's connections, whoever uses them."""
        with self._lock:
            kept, self._kept = list(self._kept.values()), OrderedDict()
        for one in kept:
            one.lm.close()

    def _close_unused(self, most: int) -> None:
        closing = []
        with self._lock:
            for digest in [d for d, kept in self._kept.items() if not kept.users][: max(0, len(self._kept) - most)]:
                closing.append(self._kept.pop(digest))
        for one in closing:
            one.lm.close()

    def _build(self, config: LMConfig) -> KeptLM:
        from dspex_testkit.lm.capabilities import capabilities_of
        from dspex_testkit.lm.composed import ComposedLM

        if self._policy.mocks(config):
            return self._build_mock(config)
        from dspex_testkit.lm.live import LivePart

        part = LivePart(config)
        lm = ComposedLM(config.dspy_model, part, params=config.params, capabilities=capabilities_of(config))
        return KeptLM(config.digest, lm, part)

    def _build_mock(self, config: LMConfig) -> KeptLM:
        from dspex_testkit.calls import LMCall
        from dspex_testkit.lm.capabilities import capabilities_of
        from dspex_testkit.lm.parts import AskedLM, BridgedMockLM
        from dspex_testkit.mock_lm.spec import parse_mock_spec

        spec = parse_mock_spec(config.mock or {})
        if spec.mode == "random" and spec.seed is None:
            spec = spec.model_copy(update={"seed": self._seed})
        lm = BridgedMockLM(
            spec,
            provider=config.provider,
            model=config.model,
            params={name: value for name, value in config.params.items() if name != "num_retries"},
            num_retries=config.params.get("num_retries", 0),
            capabilities=capabilities_of(config),
            state=_CallersCounters(),
            allow_import=self._allow_import,
        )
        identity = LMCall(provider=config.provider, model=config.model, engine=spec.mode)
        return KeptLM(config.digest, lm, AskedLM(lm, config.params, identity))
