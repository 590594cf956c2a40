"""LM configs as values.

A config names an LM. A patch names only parameters and changes the LM of the next wider scope; so
``{"temperature": 0.1}`` for one execution keeps the program's model. A reference names an LM that was defined
under a name. `lm.reading` makes them from what clients write.
"""

import hashlib
import json
import os
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from dspex_testkit.lm.config.providers import ENSEMBLE, MOCK, get_provider
from dspex_testkit.redaction import without_credentials

Strategy = Literal["majority", "first_success", "best_of", "all"]
CacheMode = Literal["off", "memory", "disk"]

_FROZEN = ConfigDict(frozen=True, extra="forbid")
# A fresh salt per process: a digest seen in one place says nothing about a key in another.
_SALT = os.urandom(32)


class CacheOptions(BaseModel):
    """How answers of an LM are remembered."""

    model_config = _FROZEN

    mode: CacheMode = "off"
    ttl_s: float | None = None
    """Seconds for which an answer is remembered; None leaves it to the bridge's setting."""


class LMPatch(BaseModel):
    """What changes the LM of the next wider scope: its parameters, whether its answers are remembered."""

    model_config = _FROZEN

    params: dict[str, Any] = {}
    cache: CacheOptions | None = None

    def public(self) -> dict[str, Any]:
        """The value as it may be shown, without keys."""
        shown: dict[str, Any] = {"params": dict(self.params)}
        return shown if self.cache is None else {**shown, "cache": self.cache.mode}

    def dump_without_key(self) -> dict[str, Any]:
        """The patch as JSON that parses back to it."""
        shown: dict[str, Any] = {"params": dict(self.params)}
        return shown if self.cache is None else {**shown, "cache": self.cache.model_dump(exclude_none=True)}


class LMReference(BaseModel):
    """An LM by the name it was defined under, perhaps with other parameters."""

    model_config = _FROZEN

    name: str
    params: dict[str, Any] = {}

    def public(self) -> dict[str, Any]:
        """The value as it may be shown, without keys."""
        return {"lm": self.name, "params": dict(self.params)}

    def dump_without_key(self) -> dict[str, Any]:
        """The reference as JSON that parses back to it."""
        return self.public()


class EnsembleSpec(BaseModel):
    """Several LMs that answer as one."""

    model_config = _FROZEN

    strategy: Strategy
    members: "tuple[LMConfig | LMReference, ...]"
    weights: tuple[float, ...] | None = None
    """One per member, for `majority`; equal where None."""
    quorum: int | None = None
    """How many members have to answer; 1 where None."""
    time_limit_ms: int | None = None
    """When the answers at hand decide; None waits for all."""
    normalize: bool = True
    """Whether `majority` takes texts as equal that differ only in case, spacing and closing punctuation."""
    on_errors: tuple[str, ...] = ()
    """The kinds of failure after which `first_success` asks the next member; the usual ones where empty."""
    score: str | None = None
    """For `best_of`: ``package.module:function`` of (outputs, inputs) that gives a number."""
    judge: "LMConfig | LMReference | None" = None
    """For `best_of`: the LM that picks."""

    @property
    def members_and_judge(self) -> "tuple[LMConfig | LMReference, ...]":
        """The members, then the judge if there is one."""
        return (*self.members, self.judge) if self.judge is not None else self.members


class LMConfig(BaseModel):
    """One LM, named completely: what is asked of which provider's model, or how a mock answers."""

    model_config = _FROZEN

    provider: str
    """A name of `lm.providers.PROVIDERS`, or `ensemble`."""
    model: str
    """The model without its provider's prefix."""
    params: dict[str, Any] = {}
    api_key: SecretStr | None = None
    api_key_env: str | None = None
    """The variable that holds the key, where it was not given."""
    api_base: str | None = None
    mock: dict[str, Any] | None = None
    """A mock's spec (`mock_lm.spec`); None for a config that says nothing of how it is to be mocked."""
    cache: CacheOptions | None = None
    """None leaves it to the bridge's setting."""
    ensemble: EnsembleSpec | None = None
    replayed: bool = False
    """Answered from the session's cassette, whatever the offline policy."""

    @property
    def dspy_model(self) -> str:
        """The model as DSPy spells it: ``gemini/gemini-1.5-flash``."""
        return f"{ENSEMBLE if self.ensemble else get_provider(self.provider).prefix}/{self.model}"

    @property
    def is_mock(self) -> bool:
        """Whether the config asks for a mock under every policy."""
        return self.provider == MOCK

    @property
    def leaves(self) -> "tuple[LMConfig, ...]":
        """The LMs that are asked in the end: itself, or the members of its ensemble that are not named elsewhere."""
        if self.ensemble is None:
            return (self,)
        return tuple(
            leaf for each in self.ensemble.members_and_judge if isinstance(each, LMConfig) for leaf in each.leaves
        )

    @cached_property
    def references(self) -> frozenset[str]:
        """The names of other LMs that occur in it."""
        if self.ensemble is None:
            return frozenset()
        asked = self.ensemble.members_and_judge
        return frozenset().union(*({each.name} if isinstance(each, LMReference) else each.references for each in asked))

    def patched(self, params: dict[str, Any], cache: CacheOptions | None = None) -> "LMConfig":
        """The same LM with other parameters, and remembered in another way if one is given."""
        if not params and cache is None:
            return self
        return self.with_fields(params={**self.params, **params}, cache=cache or self.cache)

    def with_fields(self, **changed: Any) -> "LMConfig":
        """A copy with other values of some fields, already checked; cached properties are not carried over."""
        return LMConfig.model_construct(**{**dict(self), **changed})

    @cached_property
    def digest(self) -> str:
        """Equal for configs that build the same LM; keys count, but cannot be read back from it."""
        # Not orjson: a mock's answers may hold integers beyond 64 bits.
        whole = json.dumps(self.dump_with_key(), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(whole.encode(), key=_SALT).hexdigest()

    def public(self) -> dict[str, Any]:
        """The config as it may be shown: everything except keys and a mock's answers."""
        shown: dict[str, Any] = {"provider": self.provider, "model": self.model, "params": dict(self.params)}
        if self.ensemble is not None:
            shown["strategy"] = self.ensemble.strategy
            shown["members"] = [member.public() for member in self.ensemble.members]
        if self.cache is not None:
            shown["cache"] = self.cache.mode
        return shown

    def dump_without_key(self) -> dict[str, Any]:
        """The config as JSON that parses back to the same LM, without its key."""
        return self._dump(with_key=False)

    def dump_with_key(self) -> dict[str, Any]:
        """The config as JSON with its key; for memory only."""
        return self._dump(with_key=True)

    def _dump(self, *, with_key: bool) -> dict[str, Any]:
        record: dict[str, Any] = {"provider": self.provider, "model": self.model, "params": dict(self.params)}
        for name in ("api_key_env", "api_base", "mock"):
            if (value := getattr(self, name)) is not None:
                record[name] = value
        if self.api_base is not None and not with_key:
            record["api_base"] = without_credentials(self.api_base)
        if self.cache is not None:
            record["cache"] = self.cache.model_dump(exclude_none=True)
        if self.replayed:
            record["mode"] = "replay"
        if self.ensemble is not None:
            del record["provider"]
            record |= {"kind": ENSEMBLE, **_dump_ensemble(self.ensemble, with_key=with_key)}
        if with_key and self.api_key is not None:
            record["api_key"] = self.api_key.get_secret_value()
        return record


def _dump_ensemble(spec: EnsembleSpec, *, with_key: bool) -> dict[str, Any]:
    def dump(member: LMConfig | LMReference) -> dict[str, Any]:
        return member.dump_with_key() if with_key and isinstance(member, LMConfig) else member.dump_without_key()

    record = spec.model_dump(mode="json", exclude={"members", "judge"}, exclude_none=True, exclude_defaults=True)
    record["members"] = [dump(member) for member in spec.members]
    if spec.judge is not None:
        record["judge"] = dump(spec.judge)
    return record


EnsembleSpec.model_rebuild()

LMValue = LMConfig | LMPatch | LMReference
"""What a scope may hold."""


class ParsedConfig(BaseModel):
    """What a client's config turned out to be."""

    model_config = ConfigDict(frozen=True)

    value: LMValue | None
    """None where nothing was said (null, an empty map or list)."""
    warnings: tuple[str, ...] = ()
