"""The LM scopes of a bridge: which config each holds, and which of them answers an execution."""

import secrets
from collections.abc import Mapping
from typing import Any

from dspex_testkit.bridge.args import Args
from dspex_testkit.bridge.records import ProgramRecord
from dspex_testkit.bridge.redaction import Secrets
from dspex_testkit.bridge.settings import BridgeSettings
from dspex_testkit.bridge.state import StateStore
from dspex_testkit.calls import Caller, LocalCounters, Scope
from dspex_testkit.errors import InvalidLMConfigError
from dspex_testkit.lm.config import LMConfig, LMPatch, parse_lm_config
from dspex_testkit.lm.factory import LMFactory
from dspex_testkit.lm.resolution import Assignment, ResolvedLM, resolve


class LMScopes:
    """Assigns configs to scopes and resolves the LM of an execution.

    Args:
        settings: Gives the offline policy and the default LM.
        store: Holds what sessions and the bridge were configured with.
        secrets: Learns every key, so that none is ever shown.

    Raises:
        LMResolutionError: The default LM cannot be used.
    """

    def __init__(self, settings: BridgeSettings, store: StateStore, redaction: Secrets) -> None:
        self._policy = settings.offline_policy
        self._store = store
        self._secrets = redaction
        self.factory = LMFactory(self._policy)
        self._default, _ = self.assign(Scope.DEFAULT, settings.default_lm)
        if self._default is not None and isinstance(self._default.value, LMPatch):
            raise InvalidLMConfigError("Model name is required: the default LM names only parameters")

    def assign(self, scope: Scope, raw: object) -> tuple[Assignment | None, tuple[str, ...]]:
        """Read a client's config for a scope; returns it with warnings, or None where nothing was said.

        Raises:
            LMResolutionError: The config cannot be used.
            MockLMError: The config is of a mock, and its spec cannot be used.
        """
        parsed = parse_lm_config(raw)
        if parsed.value is None:
            return None, parsed.warnings
        if isinstance(parsed.value, LMConfig):
            if parsed.value.api_key is not None:
                self._secrets.add(parsed.value.api_key.get_secret_value())
            self._policy.check(parsed.value)
        return Assignment(scope, parsed.value, secrets.token_hex(6)), parsed.warnings

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
        self._store.set_lm(session_id, assignment)
        return assignment, warnings

    def overrides(self, args: Args) -> list[Assignment]:
        """What an execution says of its LM, narrowest first.

        ``options.lm_config``, then ``lm_config``, then ``options.lm`` or ``lm``; a bare ``temperature`` beside
        any of them is a patch over what they name.

        Raises:
            LMResolutionError: One of them cannot be used.
        """
        options = args.mapping("options")
        layers: list[object] = []
        for place in (options, args.values):
            if place.get("temperature") is not None:
                layers.append({"temperature": place["temperature"]})
        layers += [options.get("lm_config"), args.get("lm_config")]
        for place in (options, args.values):
            if place.get("lm") is not None:
                layers.append({"lm": place["lm"], "api_key": place.get("api_key")})
        assigned = [self.assign(Scope.EXECUTION, layer)[0] for layer in layers if layer]
        return [assignment for assignment in assigned if assignment is not None]

    def scopes(
        self, overrides: list[Assignment], program: ProgramRecord | None, session_id: str | None
    ) -> list[tuple[Scope, Assignment | None]]:
        """Every scope with what it holds, narrowest first."""
        given: list[Assignment | None] = [*overrides] or [None]
        return [
            *[(Scope.EXECUTION, override) for override in given],
            (Scope.PROGRAM, program.lm if program else None),
            (Scope.SESSION, self._store.get_lm(session_id) if session_id is not None else None),
            (Scope.GLOBAL, self._store.get_lm(None)),
            (Scope.DEFAULT, self._default),
        ]

    def resolve(self, overrides: list[Assignment], program: ProgramRecord | None, session_id: str | None) -> ResolvedLM:
        """The LM of an execution.

        Raises:
            NoLMConfiguredError: No scope names one.
        """
        return resolve(assignment for _, assignment in self.scopes(overrides, program, session_id))

    def is_mocked(self, resolved: ResolvedLM) -> bool:
        """Whether a mock will answer."""
        return self._policy.mocks(resolved.config)

    def caller(
        self, resolved: ResolvedLM, *, program_id: str | None, session_id: str | None, worker_id: str | None
    ) -> Caller:
        """Who asks, for the engine and the journal."""
        # An override lives for one execution, and so do its counters.
        own = resolved.scope is Scope.EXECUTION
        return Caller(
            journal=self._store.journal,
            counters=LocalCounters() if own else self._store.counters(resolved.lm_id),
            scope=resolved.scope,
            program_id=program_id,
            session_id=session_id,
            worker_id=worker_id,
            lm_id=resolved.lm_id,
        )
