"""Who answers for LMs that tests build themselves, and what becomes of their calls."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dspex_testkit.calls import Journal
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.lm.config.reading import parse_lm_config
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.mock_lm import Capabilities
from dspex_testkit.mock_lm.engine import AsyncMockEngine, MockEngine
from dspex_testkit.mock_lm.spec import parse_mock_spec
from dspex_testkit.plugin.options import Policy
from dspex_testkit.plugin.watched import WatchedCall, identity_of, is_provider_lm, watched
from dspex_testkit.redaction import Secrets

if TYPE_CHECKING:
    from dspex_testkit.cassettes import OpenCassette

__tracebackhide__ = True  # pytest shows what is wrong, not how it was found


class PolicyWatcher:
    """Answers for LMs of real providers as the policy says, and has every other LM's calls written down.

    Args:
        policy: The policy; None and `live` leave every LM alone.
        configs: LM configs whose mock's keys say how LMs of the same model answer; the nearest first.
        faults: What goes wrong with mocks.
        seed: The seed of mocks that name none.
        derived: Whether they may make up what nobody gave an answer for, where they do not say.
        journal: Where calls are written.
        secrets: Learns the keys of the LMs that are asked.
        cassette: Gives the test's recording; needed by `replay` and `record`.
    """

    def __init__(
        self,
        policy: Policy | None,
        *,
        configs: Sequence[Any],
        faults: Sequence[Mapping[str, Any]],
        seed: int,
        derived: str,
        journal: Journal,
        secrets: Secrets,
        cassette: "Callable[[], OpenCassette] | None" = None,
    ) -> None:
        self._policy = policy
        self._configs = [config for config in (_read(raw) for raw in configs) if config is not None]
        self._faults = list(faults)
        self._seed = seed
        self._derived = derived
        self._journal = journal
        self._secrets = secrets
        self._cassette = cassette
        self._engines: dict[str, tuple[Any, Any]] = {}
        self._recorded: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()
        self._followed = ExitStack()
        self._lock = threading.Lock()

    def stands_aside(self) -> bool:
        """Whether a bridge of this process asks: it writes its calls down itself, and has followed its policy."""
        return caller_now().scope is not None

    def engines_for(self, lm: Any) -> tuple[Any, Any] | None:
        """The engines that answer in the place of a provider's LM; None leaves an LM alone."""
        if self._policy in (None, "live") or not is_provider_lm(lm):
            return None
        with self._lock:
            if self._policy != "mock":
                if lm not in self._recorded:
                    self._recorded[lm] = self._from_cassette(lm)
                return self._recorded[lm]
            # LMs of one model share an engine, as copies of one LM have to.
            key = f"{lm.model_type} {lm.model}"
            if key not in self._engines:
                self._engines[key] = self._mock(lm)
            return self._engines[key]

    @contextmanager
    def watching(self, lm: Any, request: Callable[[], Any], capture: Capture | None) -> Iterator[WatchedCall | None]:
        """Have a call written down, unless the LM's own engine does that."""
        self._secrets.learn(dict(getattr(lm, "kwargs", None) or {}))
        if self.engines_for(lm) is not None:
            yield None
            return
        if isinstance(own := getattr(lm, "journal", None), Journal):
            self._follow(own)
            yield None
            return
        with watched(lm, partial(WatchedCall, lm, request, capture, self._journal)) as call:
            yield call

    def close(self) -> None:
        """Leave LMs alone that were followed."""
        self._followed.close()

    def _follow(self, journal: Journal) -> None:
        """Take over what an LM of the kit writes into a journal of its own."""
        with self._lock:
            if journal is self._journal or journal.has_ended or journal.is_followed_by(self._journal):
                return
            self._followed.enter_context(journal.followed_by(self._journal))

    def _mock(self, lm: Any) -> tuple[Any, Any]:
        provider, model = identity_of(lm)
        own = [each for each in self._configs if (each.provider, each.model) == (provider, model)]
        general = [each for each in self._configs if each.is_mock]
        config = next(iter(own + general), None)
        spec = dict(config.mock or {}) if config is not None else {}
        if self._faults:
            given = spec.get("faults", [])
            spec["faults"] = [*(given if isinstance(given, list | tuple) else [given]), *self._faults]
        parsed = parse_mock_spec({"derived": self._derived, **spec})
        if parsed.seed is None:
            parsed = parsed.model_copy(update={"seed": self._seed})
        engine = MockEngine(
            parsed,
            provider=provider,
            model=model,
            # Never asked for: DSPy goes on reading the abilities off the LM itself.
            capabilities=Capabilities(),
            journal=self._journal,
        )
        return engine, AsyncMockEngine(engine)

    def _from_cassette(self, lm: Any) -> tuple[Any, Any]:
        from dspex_testkit.cassettes.engine import AsyncCassetteEngine

        assert self._cassette is not None, "these policies come with a cassette"
        engine = self._cassette().lm_for(lm).engine
        engine.journal = self._journal
        return engine, AsyncCassetteEngine(engine)


def _read(raw: Any) -> LMConfig | None:
    value = parse_lm_config(raw).value
    return value if isinstance(value, LMConfig) and value.ensemble is None else None
