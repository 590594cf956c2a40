"""The LM scopes of a bridge: which config each holds, and which of them answers an execution."""

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.accounting import Accounting
from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.settings import BridgeSettings
from dspex_testkit.bridge.state.records import ProgramRecord
from dspex_testkit.bridge.state.store import StateStore
from dspex_testkit.calls import Caller, LMChange, LocalCounters, Scope
from dspex_testkit.errors import InvalidLMConfigError
from dspex_testkit.lm.cache.settings import CacheSettings
from dspex_testkit.lm.config.reading import parse_lm_config
from dspex_testkit.lm.config.values import LMConfig, LMPatch
from dspex_testkit.lm.factory import LMFactory
from dspex_testkit.lm.policy import OfflinePolicy
from dspex_testkit.lm.prices import PriceTable
from dspex_testkit.lm.resolution import Assignment, ResolvedLM, resolve
from dspex_testkit.lm.scoring import check_import
from dspex_testkit.redaction import Secrets

if TYPE_CHECKING:
    from dspex_testkit.cassettes.interfaces import Deck

_SAYS_WHICH_LM = frozenset({"options", "lm_config", "lm", "temperature", "api_key"})
"""The arguments of an execution that may say something of its LM."""
_MOST_LEARNED = 4096
"""Digests of configs whose keys are known already."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What an execution says of its LM."""

    assignments: tuple[Assignment, ...] = ()
    """Narrowest first."""
    warnings: tuple[str, ...] = ()
    """What of it was ignored, or would be refused of a live LM."""


class LMScopes:
    """Assigns configs to scopes and resolves the LM of an execution.

    Args:
        settings: Gives the offline policy, the default LM, and what is remembered of answers.
        store: Holds what sessions and the bridge were configured with.
        redaction: Learns every key, so that none is ever shown.
        worker_id: The pool's name for this worker.

    Raises:
        LMResolutionError: The default LM cannot be used.
        UsageError: The price table cannot be used.
    """

    def __init__(
        self, settings: BridgeSettings, store: StateStore, redaction: Secrets, *, worker_id: str | None = None
    ) -> None:
        self._settings = settings
        self._policy = settings.offline_policy
        self._store = store
        self._secrets = redaction
        self._worker_id = worker_id
        prices = PriceTable() if settings.price_table == "off" else PriceTable.from_file(settings.price_table)
        self._accounting = Accounting(store, prices, redaction, keeps_prompts=settings.journal_prompts)
        self._gate = self._accounting.admit
        self._deck: Deck | None = None
        self._learned: set[str] = set()
        self.factory = LMFactory(
            self._policy,
            seed=settings.seed,
            derived=settings.derived,
            allow_import=settings.allow_import,
            most_stuck=settings.concurrency,
            cache=CacheSettings(settings.response_cache, settings.cache_ttl, settings.cache_size, settings.cache_dir),
            cassettes=lambda: self.cassettes,
            model_aliases=dict(settings.model_aliases),
            secrets=redaction,
        )
        self._default, self.default_warnings = self.assign(Scope.DEFAULT, settings.default_lm)
        """What was ignored of the default LM; there is no reply to whoever wrote it, so each execution tells it."""
        if self._default is not None and isinstance(self._default.value, LMPatch):
            raise InvalidLMConfigError("Model name is required: the default LM names only parameters")

    @property
    def cassettes(self) -> "Deck":
        """The recordings, opened on first use."""
        if self._deck is None:
            self._deck = _open_deck(self._settings, self._store)
        return self._deck

    def close(self) -> None:
        """Close every LM's connections."""
        self.factory.close()

    @property
    def default(self) -> Assignment | None:
        """What the bridge's settings name."""
        return self._default

    def assign(
        self, scope: Scope, raw: object, *, beside: Mapping[str, Any] | None = None
    ) -> tuple[Assignment | None, tuple[str, ...]]:
        """Read a client's config for a scope; returns it with warnings, or None where nothing was said.

        Args:
            scope: The scope.
            raw: The config.
            beside: Keys of it that the client wrote beside it.

        Raises:
            LMResolutionError: The config cannot be used.
            MockLMError: The config is of a mock, and its spec cannot be used.
        """
        if raw is None:
            return None, ()
        self._secrets.learn([raw, beside])
        names = [definition.name for definition in self._store.named_lms()]
        parsed = parse_lm_config(raw, names=names, beside=beside)
        if parsed.value is None:
            return None, parsed.warnings
        if isinstance(parsed.value, LMConfig):
            self._learn_keys(parsed.value)
            check_import(parsed.value, self._settings.allow_import)
        return Assignment(scope, parsed.value, new_lm_id()), parsed.warnings

    def configure(self, session_id: str | None, raw: Mapping[str, Any]) -> tuple[Assignment, tuple[str, ...]]:
        """Give a session, or without one the whole bridge, its LM.

        Raises:
            LMResolutionError: The config cannot be used, or names no model.
            MockLMError: The config is of a mock, and its spec cannot be used.
        """
        assignment, warnings = self.assign(Scope.GLOBAL if session_id is None else Scope.SESSION, raw)
        if assignment is None or isinstance(assignment.value, LMPatch):
            raise InvalidLMConfigError(
                "Model name is required: configure_lm wants a provider and a model, such as "
                '{"provider": "openai", "model": "gpt-4o-mini"} or {"provider": "mock", "responses": {…}}'
            )
        replaced = self._store.set_lm(session_id, assignment)
        self.note(
            LMChange(
                "configured",
                scope=assignment.scope,
                session_id=session_id,
                lm=assignment.value.public(),
                lm_id=assignment.lm_id,
                replaced=replaced.value.public() if replaced else None,
                replaced_lm_id=replaced.lm_id if replaced else None,
            )
        )
        return assignment, warnings

    def note(self, change: LMChange) -> None:
        """Write a change of who answers into the journal."""
        self._store.journal.record_change(replace(change, worker_id=self._worker_id, time=time.time()))

    def overrides(self, args: Args) -> Overrides:
        """What an execution says of its LM.

        ``options.lm_config``, then ``lm_config``, then ``options.lm`` or ``lm``; a bare ``temperature`` beside
        any of them is a patch over what they name, and an ``api_key`` belongs to the ``lm`` that it stands beside.

        Raises:
            LMResolutionError: One of them cannot be used.
        """
        if args.values.keys().isdisjoint(_SAYS_WHICH_LM):
            return Overrides()
        options = args.mapping("options")
        if isinstance(options.get("options"), Mapping) and options["options"]:
            raise InvalidLMConfigError("The options are nested one 'options' too deep; write what stands in them flat")
        places = (("options.", options), ("", args.values))
        layers: list[tuple[object, dict[str, Any]]] = [
            ({"temperature": place["temperature"]}, {}) for _, place in places if place.get("temperature") is not None
        ]
        layers += [(place.get("lm_config"), {}) for _, place in places]
        layers += [(place.get("lm"), {"api_key": place.get("api_key")}) for _, place in places]
        assigned = [self.assign(Scope.EXECUTION, raw, beside=beside) for raw, beside in layers]
        warnings = [warning for _, warnings in assigned for warning in warnings]
        for name, place in places:
            if place.get("api_key") is not None and not place.get("lm"):
                warnings.append(f"{name}api_key stands beside no {name}lm and was ignored; write it into the LM config")
        return Overrides(
            tuple(assignment for assignment, _ in assigned if assignment is not None), tuple(dict.fromkeys(warnings))
        )

    def held(
        self, overrides: Overrides, program: ProgramRecord | None, session_id: str | None
    ) -> tuple[Assignment | None, ...]:
        """What the scopes hold, narrowest first; None for one that holds nothing."""
        return (
            *overrides.assignments,
            program.lm if program else None,
            self._store.get_lm(session_id) if session_id is not None else None,
            self._store.get_lm(None),
            self._default,
        )

    def choose(self, held: Iterable[Assignment | None]) -> ResolvedLM:
        """The LM that the narrowest of these names.

        Raises:
            NoLMConfiguredError: None of them names one.
            UnknownLMError: The deciding one refers to a name that is gone.
        """
        return resolve(held, self._store.find_lm)

    def resolve(self, overrides: Overrides, program: ProgramRecord | None, session_id: str | None) -> ResolvedLM:
        """The LM of an execution.

        Raises:
            NoLMConfiguredError: No scope names one.
            UnknownLMError: The deciding scope refers to a name that is gone.
        """
        resolved = self.choose(self.held(overrides, program, session_id))
        # Another worker of the pool may have been told; what a provider says of a key goes through this one.
        self._learn_keys(resolved.config)
        return resolved

    def _learn_keys(self, config: LMConfig) -> None:
        """Keep the keys of a config out of whatever is shown; refuses a config that the policy cannot serve."""
        if config.digest in self._learned:
            return
        self._secrets.learn(config.dump_with_key())
        for key in self._policy.check(config):
            self._secrets.add(key)
        if len(self._learned) >= _MOST_LEARNED:
            self._learned.clear()
        self._learned.add(config.digest)

    def is_mocked(self, resolved: ResolvedLM) -> bool:
        """Whether a mock will answer."""
        return self._policy.mocks(resolved.config)

    def caller(
        self, resolved: ResolvedLM, *, program_id: str | None, session_id: str | None, worker_id: str | None
    ) -> Caller:
        """Who asks, for the engine and the journal."""
        # An override lives for one execution, and so do its counters; a named LM's live as long as its definition.
        own = resolved.scope is Scope.EXECUTION and resolved.name is None
        return Caller(
            journal=self._accounting,
            counters=LocalCounters() if own else self._store.counters(resolved.lm_id),
            scope=resolved.scope,
            program_id=program_id,
            session_id=session_id,
            worker_id=worker_id,
            lm_id=resolved.lm_id,
            gate=self._gate,
            reports=[] if resolved.config.ensemble is not None else None,
        )


def new_lm_id() -> str:
    """Names one act of configuring; says nothing about keys."""
    return secrets.token_hex(6)


def _open_deck(settings: BridgeSettings, store: StateStore) -> "Deck":
    """The deck of a bridge, which it shares with the bridges of its pool; it records under the policy `record` only.

    Raises:
        MissingExtraError: What recordings need is not installed.
        UsageError: The record mode is none.
    """
    # Here, because YAML and locks are of no use to a bridge that only mocks.
    from dspex_testkit.cassettes import DeckSettings, RecordMode
    from dspex_testkit.redaction import secrets_of_environment

    deck = store.deck(
        DeckSettings(
            folder=str(Path(settings.cassettes).resolve()),
            record=settings.offline_policy is OfflinePolicy.RECORD,
            mode=RecordMode.of(settings.record_mode),
            staging=str(Path(settings.record_staging).resolve()) if settings.record_staging else None,
        )
    )
    if deck.records:
        # The deck may be in a process that has another environment.
        deck.learn(secrets_of_environment())
    return deck
