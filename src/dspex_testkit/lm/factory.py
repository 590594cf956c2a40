"""Building the `dspy.LM` for a resolved config, and keeping it for the next execution."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dspex_testkit.lm.cache.settings import CacheSettings
from dspex_testkit.lm.config.values import CacheOptions, LMConfig
from dspex_testkit.lm.lm_cache import KeptLM, KeptLMs, Lease
from dspex_testkit.lm.policy import OfflinePolicy
from dspex_testkit.redaction import Secrets

if TYPE_CHECKING:
    from dspex_testkit.cassettes.interfaces import Deck
    from dspex_testkit.lm.cache.responses import ResponseCache
    from dspex_testkit.lm.loops import Loops
    from dspex_testkit.lm.members import Member


class LMFactory:
    """LMs by configuration: equal configs share one LM, and with it one connection pool.

    What an engine counts does not live in the LM but in the counters of the `Caller`, so sharing never lets one
    scope's script move another's.

    Args:
        policy: What answers for a config of a real provider.
        seed: The seed of random mocks that name none.
        derived: Whether mocks may make up what nobody gave an answer for, where they do not say.
        allow_import: Module prefixes from which functions may be imported.
        most_stuck: Executions that may go on past their deadline because they cannot be stopped.
        cache: Whether and where answers are remembered.
        cassettes: Gives the recordings, for what is replayed or recorded.
        model_aliases: Models that are asked in place of others while recording.
        secrets: What no answer that is remembered on disk may hold.
        max_lms: How many LMs are kept; the least recently used of those that nobody is using is closed first.
    """

    def __init__(
        self,
        policy: OfflinePolicy,
        *,
        seed: int = 0,
        derived: str = "allow",
        allow_import: Sequence[str] = (),
        max_lms: int = 64,
        most_stuck: int = 64,
        cache: CacheSettings | None = None,
        cassettes: "Callable[[], Deck] | None" = None,
        model_aliases: Mapping[str, str] | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._policy = policy
        self._seed = seed
        self._derived = derived
        self._allow_import = tuple(allow_import)
        self.kept = KeptLMs(self._build, most=max_lms)
        self._cassettes = cassettes
        self._aliases = dict(model_aliases or {})
        self._lock = threading.Lock()
        self._loops: Loops | None = None
        self._most_stuck = most_stuck
        self._cache_settings = cache
        self._secrets = secrets
        self._cache: ResponseCache | None = None

    @property
    def cache(self) -> "ResponseCache":
        """The answers that are remembered."""
        with self._lock:
            if self._cache is None:
                from dspex_testkit.lm.cache.responses import ResponseCache

                self._cache = ResponseCache(self._cache_settings, secrets=self._secrets)
            return self._cache

    def check_capacity(self) -> None:
        """Refuse more work while too much of it goes on that could not be stopped.

        Raises:
            OverloadedError: It does.
        """
        if self._loops is not None:
            self._loops.check()

    @property
    def unstoppable(self) -> int:
        """Executions that go on although their time is up."""
        return 0 if self._loops is None else self._loops.stuck

    def forget_answers(self) -> None:
        """Empty the cache in memory; what is on disk is for other processes too."""
        if self._cache is not None:
            self._cache.clear("memory")

    @property
    def loops(self) -> "Loops":
        """Event loops, for what is asked side by side or with a deadline."""
        with self._lock:
            if self._loops is None:
                from dspex_testkit.lm.loops import Loops

                self._loops = Loops(most_stuck=self._most_stuck)
            return self._loops

    def lease(self, config: LMConfig) -> Lease:
        """The LM for this config, built on first use; not closed while it is leased."""
        return Lease(self.kept, config)

    def take(self, config: LMConfig) -> KeptLM:
        """The LM for this config without a context; `kept.give_back` ends its use."""
        return self.kept.take(config)

    def close(self) -> None:
        """Close the connections of all LMs, also of those in use."""
        with self._lock:
            loops, self._loops = self._loops, None
            cache, self._cache = self._cache, None
        if loops is not None:
            loops.close()
        if cache is not None:
            cache.close()
        self.kept.close()

    def _build(self, config: LMConfig) -> KeptLM:
        if config.ensemble is not None:
            kept = self._build_ensemble(config)
        elif self._cassettes is not None and self._policy.plays(config):
            return self._build_recorded(config, self._cassettes())  # a recording is what remembers here
        elif self._policy.mocks(config):
            kept = self._build_mock(config)
        else:
            kept = self._build_live(config)
        return self._remembering(config, kept)

    def _remembering(self, config: LMConfig, kept: KeptLM) -> KeptLM:
        """The same LM behind a cache, where one is wanted."""
        chosen = config.cache
        if chosen is None and self._cache_settings is not None and config.ensemble is None:
            # The bridge's default is for the LMs that are asked in the end, not once more for what is made of them.
            chosen = CacheOptions(mode=self._cache_settings.mode)
        if chosen is None or chosen.mode == "off":
            return kept
        from dspex_testkit.lm.cache.cached import CachedMember

        ttl_s = chosen.ttl_s if chosen.ttl_s is not None else self.cache.settings.ttl_s
        return _composed(config, CachedMember(kept.member, config, self.cache, chosen.mode, ttl_s), kept.holds)

    def _build_live(self, config: LMConfig) -> KeptLM:
        from dspex_testkit.lm.live import LiveMember

        return _composed(config, LiveMember(config))

    def _build_ensemble(self, config: LMConfig) -> KeptLM:
        from dspex_testkit.lm.ensembles.ensemble import EnsembleMember

        assert config.ensemble is not None
        held: list[KeptLM] = []
        try:
            for member in config.ensemble.members_and_judge:
                assert isinstance(member, LMConfig), "references are expanded when an LM is resolved"
                held.append(self.kept.take(member))
            judge = held[-1].lm if config.ensemble.judge is not None else None
            members = [kept.member for kept in held[: len(config.ensemble.members)]]
            ensemble = EnsembleMember(config, members, judge, self.loops)
        except BaseException:
            for kept in held:
                self.kept.give_back(kept)
            raise
        return _composed(config, ensemble, held)

    def _build_recorded(self, config: LMConfig, cassettes: "Deck") -> KeptLM:
        from dspex_testkit.calls import LMCall
        from dspex_testkit.lm.members import AskedLM
        from dspex_testkit.lm.recorded import RecordedProviderLM

        lm = RecordedProviderLM(config, cassettes, self._aliases)
        live = cassettes.records and not config.replayed
        identity = LMCall(provider=config.provider, model=config.model, mocked=not live, engine="replay")
        return KeptLM(lm, AskedLM(lm, config.params, identity))

    def _build_mock(self, config: LMConfig) -> KeptLM:
        from dspex_testkit.calls import LMCall
        from dspex_testkit.lm.capabilities import capabilities_of
        from dspex_testkit.lm.members import AskedLM, BridgedMockLM, CallersCounters
        from dspex_testkit.mock_lm.spec import parse_mock_spec

        spec = parse_mock_spec({"derived": self._derived, **(config.mock or {})}, sent=True)
        if spec.mode == "random" and spec.seed is None:
            spec = spec.model_copy(update={"seed": self._seed})
        lm = BridgedMockLM(
            spec,
            provider=config.provider,
            model=config.model,
            params={name: value for name, value in config.params.items() if name != "num_retries"},
            num_retries=config.params.get("num_retries", 0),
            capabilities=capabilities_of(config),
            state=CallersCounters(),
            allow_import=self._allow_import,
        )
        identity = LMCall(provider=config.provider, model=config.model, engine=spec.mode)
        return KeptLM(lm, AskedLM(lm, config.params, identity))


def _composed(config: LMConfig, member: "Member", holds: Sequence[KeptLM] = ()) -> KeptLM:
    """A member with the LM in front of it that programs ask."""
    from dspex_testkit.lm.capabilities import capabilities_of
    from dspex_testkit.lm.composed import ComposedLM

    lm = ComposedLM(config.dspy_model, member, params=config.params, capabilities=capabilities_of(config))
    return KeptLM(lm, member, holds)
