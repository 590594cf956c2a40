"""LM configs as values, and the parser that accepts every shape in which DSPex and its documents write them.

A config names an LM. A patch names only parameters and changes the LM of the next wider scope; so
``{"temperature": 0.1}`` for one execution keeps the program's model.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr

from dspex_testkit.errors import InvalidLMConfigError
from dspex_testkit.lm.params import PARAMS, check_param, nearest
from dspex_testkit.lm.providers import (
    MOCK,
    Provider,
    find_provider,
    get_provider,
    is_openai_reasoning_model,
    provider_of_model,
)
from dspex_testkit.mock_lm.spec import SPEC_KEYS, parse_mock_spec

_IDENTITY = frozenset({"provider", "type", "model", "lm"})
_CONNECTION = frozenset({"api_key", "api_base", "base_url"})
_NESTED = frozenset({"params", "mock"})
KNOWN_KEYS = frozenset(PARAMS) | SPEC_KEYS | _IDENTITY | _CONNECTION | _NESTED
"""Every key that an LM config may hold at its top level."""


class LMPatch(BaseModel):
    """Parameters that change the LM of the next wider scope."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: dict[str, Any]


class LMConfig(BaseModel):
    """One LM, named completely: what is asked of which provider's model, or how a mock answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    """A name of `lm.providers.PROVIDERS`."""
    model: str
    """The model without its provider's prefix."""
    params: dict[str, Any] = {}
    api_key: SecretStr | None = None
    api_base: str | None = None
    mock: dict[str, Any] | None = None
    """A mock's spec (`mock_lm.spec`); None for a config that says nothing of how it is to be mocked."""

    @property
    def dspy_model(self) -> str:
        """The model as DSPy spells it: ``gemini/gemini-1.5-flash``."""
        return f"{get_provider(self.provider).prefix}/{self.model}"

    @property
    def is_mock(self) -> bool:
        """Whether the config asks for a mock under every policy."""
        return self.provider == MOCK

    def patched(self, patch: LMPatch) -> "LMConfig":
        """The same LM with other parameters."""
        return self.model_copy(update={"params": {**self.params, **patch.params}})

    @cached_property
    def digest(self) -> str:
        """Equal for configs that build the same LM; keys count, but cannot be read back from it."""
        # Not orjson: a mock's answers may hold integers beyond 64 bits.
        whole = json.dumps(self.dump_with_key(), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(whole.encode(), key=_SALT).hexdigest()

    def public(self) -> dict[str, Any]:
        """What may be shown to anybody: everything but the key and the mock's answers."""
        return {"provider": self.provider, "model": self.model, "params": dict(self.params)}

    def dump_without_key(self) -> dict[str, Any]:
        """The config as JSON that parses back to the same LM, without its key."""
        record = self.model_dump(mode="json", exclude={"api_key"}, exclude_none=True)
        return {**record, "params": dict(self.params)}

    def dump_with_key(self) -> dict[str, Any]:
        """The config as JSON with its key; for memory only."""
        key = self.api_key.get_secret_value() if self.api_key else None
        return {**self.dump_without_key(), **({"api_key": key} if key else {})}


# A fresh salt per process: a digest seen in one place says nothing about a key in another.
_SALT = os.urandom(32)


class ParsedConfig(BaseModel):
    """What a client's config turned out to be."""

    model_config = ConfigDict(frozen=True)

    value: LMConfig | LMPatch | None
    """None where nothing was said (null, an empty map or list)."""
    warnings: tuple[str, ...] = ()


def parse_lm_config(raw: object) -> ParsedConfig:
    """Read an LM config in any of its shapes: a model string, a flat map, a nested ``{"lm": …}`` map.

    Unknown flat keys are ignored with a warning, because clients send markers of their own; unknown keys
    inside ``params`` or ``mock`` are errors.

    Raises:
        InvalidLMConfigError: A value of the wrong type or range, a provider without a model, an unknown parameter.
        UnknownProviderError: A provider that the table does not have.
        InvalidMockSpecError: A mock's spec that cannot be used.
    """
    if raw is None or raw in ({}, []):
        return ParsedConfig(value=None)
    if isinstance(raw, str):
        raw = {"model": raw}
    if not isinstance(raw, Mapping):
        raise InvalidLMConfigError(
            f"An LM config must be a map or a model string such as 'openai/gpt-4o-mini', but {type(raw).__name__} came"
        )
    flat = {str(key): value for key, value in raw.items() if value is not None}
    inner = flat.pop("lm", None)
    if isinstance(inner, str):
        flat.setdefault("model", inner)
    elif isinstance(inner, Mapping):
        flat = {**flat, **{str(key): value for key, value in inner.items() if value is not None}}
    elif inner is not None:
        raise InvalidLMConfigError(f"'lm' must be a model string or a map, but {type(inner).__name__} came")
    return _parse_flat(flat)


def _parse_flat(flat: Mapping[str, Any]) -> ParsedConfig:
    provider, model = _identity(flat)
    params, mock, warnings = _split(flat, mock_provider=provider is None or provider.name == MOCK)
    if provider is None and mock:
        provider, model = get_provider(MOCK), model or MOCK
    if provider is None:
        if _CONNECTION & flat.keys():
            raise InvalidLMConfigError("Model name is required: a key or base URL alone names no LM")
        patch = LMPatch(params=params) if params else None
        return ParsedConfig(value=patch, warnings=tuple(warnings))
    if model is None and provider.name not in (MOCK, "cached"):
        raise InvalidLMConfigError(
            f"Model name is required: provider {provider.name!r} was given without 'model'",
            details={"provider": provider.name},
        )
    if provider.name == MOCK and mock is None:
        mock = {}
    config = LMConfig(
        provider=provider.name,
        model=model or MOCK,
        params=params,
        api_key=_secret(flat),
        api_base=_text(flat, "api_base") or _text(flat, "base_url"),
        mock=mock,
    )
    return ParsedConfig(value=config, warnings=(*warnings, *_live_warnings(config)))


def _identity(flat: Mapping[str, Any]) -> tuple[Provider | None, str | None]:
    """The provider and the model without its prefix, as far as they are named."""
    named = _text(flat, "provider") or _text(flat, "type")
    provider = get_provider(named) if named else None
    model = _text(flat, "model")
    if model is None:
        return provider, None
    head, slash, rest = model.partition("/")
    if slash and not (provider and provider.vendor_models and find_provider(head) is not provider):
        if not rest:
            raise InvalidLMConfigError(f"Model name is required: {model!r} has a provider but no model after the slash")
        # A model that carries a prefix is taken as it is, whatever `provider` says beside it.
        return get_provider(head), rest
    if provider is None:
        provider = provider_of_model(model)
        if provider is None:
            raise InvalidLMConfigError(
                f"Which provider serves the model {model!r}? Write 'provider' beside it, or 'provider/{model}'",
                details={"model": model},
            )
    return provider, model


def _split(flat: Mapping[str, Any], *, mock_provider: bool) -> tuple[dict[str, Any], dict[str, Any] | None, list[str]]:
    """Sort the remaining keys into parameters, the mock's spec, and warnings for what nobody knows."""
    params: dict[str, Any] = {}
    mock: dict[str, Any] = {}
    warnings: list[str] = []
    for key, value in flat.items():
        if key in _IDENTITY or key in _CONNECTION or key in _NESTED:
            continue
        if key in SPEC_KEYS and (mock_provider or key not in PARAMS):
            mock[key] = value
        elif key in PARAMS:
            params[key] = check_param(key, value)
        else:
            warnings.append(f"LM config key {key!r} is not known and was ignored{nearest(key, KNOWN_KEYS)}")
    for name, value in _map(flat, "params").items():
        params[name] = check_param(name, value)
    mock.update(_map(flat, "mock"))
    if not mock:
        return params, ({} if "mock" in flat else None), warnings
    parse_mock_spec(mock)
    return params, mock, warnings


def _live_warnings(config: LMConfig) -> list[str]:
    """What DSPy would refuse of a live LM; a mock accepts it, so the author has to be told."""
    if config.provider != "openai" or not is_openai_reasoning_model(config.model):
        return []
    warnings = []
    if config.params.get("temperature") not in (None, 1, 1.0):
        warnings.append(f"{config.model} is a reasoning model: live, only temperature 1 is accepted")
    if config.params.get("max_tokens", 16000) < 16000:
        warnings.append(f"{config.model} is a reasoning model: live, max_tokens must be at least 16000")
    return warnings


def _secret(flat: Mapping[str, Any]) -> SecretStr | None:
    key = flat.get("api_key")
    if key is None or key == "":
        return None
    if not isinstance(key, str):
        raise InvalidLMConfigError(f"api_key must be a text, but {type(key).__name__} came")
    return SecretStr(key)


def _text(flat: Mapping[str, Any], key: str) -> str | None:
    value = flat.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidLMConfigError(f"{key} must be a text, but {value!r} came")
    return value


def _map(flat: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = flat.get(key)
    if value is None or value == []:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidLMConfigError(f"{key} must be a map, but {value!r} came")
    return value
