"""From what clients write to LM configs: every shape in which DSPex and its documents spell them."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import SecretStr

from dspex_testkit.errors import InvalidLMConfigError
from dspex_testkit.limits import LONGEST_TTL_S, brief, is_number, json_kind
from dspex_testkit.lm.config.ensembles import ENSEMBLE_KEYS, read_ensemble
from dspex_testkit.lm.config.fields import read_map, read_text
from dspex_testkit.lm.config.params import PARAMS, check_param
from dspex_testkit.lm.config.providers import (
    ENSEMBLE,
    MOCK,
    Provider,
    find_provider,
    get_provider,
    is_openai_reasoning_model,
    provider_of_model,
)
from dspex_testkit.lm.config.values import CacheOptions, LMConfig, LMPatch, LMReference, ParsedConfig
from dspex_testkit.mock_lm.spec import SPEC_KEYS, parse_mock_spec
from dspex_testkit.nearest import nearest_hint

_IDENTITY = frozenset({"provider", "type", "model", "lm", "kind"})
_CONNECTION = frozenset({"api_key", "api_key_env", "api_base", "base_url"})
_NESTED = frozenset({"params", "mock", "cache"})
_SINGLE_KEYS = frozenset(PARAMS) | SPEC_KEYS | _IDENTITY | _CONNECTION | _NESTED
KNOWN_KEYS = _SINGLE_KEYS | ENSEMBLE_KEYS
"""Every key that an LM config may hold at its top level."""

_KINDS = frozenset({"lm", ENSEMBLE})
_OF_OPTIONS = frozenset({"lm", "lm_config", "temperature", "api_key"})


def parse_lm_config(
    raw: object, *, names: Collection[str] = (), beside: Mapping[str, Any] | None = None
) -> ParsedConfig:
    """Read an LM config in any of its shapes: a model string, a name, a flat map, a nested ``{"lm": …}`` map.

    Unknown flat keys are ignored with a warning, because clients send markers of their own; unknown keys
    inside ``params`` or ``mock`` are errors, and so is a config that says two things of one key.

    Args:
        raw: What the client wrote.
        names: The LMs that were defined under a name.
        beside: Keys of the config that stand beside it, where a client writes ``{"lm": config, "api_key": …}``.

    Raises:
        InvalidLMConfigError: A value of the wrong type or range, a provider without a model, an unknown parameter,
            a contradiction.
        UnknownProviderError: A provider that the table does not have.
        InvalidMockSpecError: A mock's spec that cannot be used.
    """
    if _is_empty(raw):
        return ParsedConfig(value=None)
    if isinstance(raw, str):
        raw = {"lm": raw}
    if not isinstance(raw, Mapping):
        raise InvalidLMConfigError(
            f"An LM config must be a map or a model string such as 'openai/gpt-4o-mini', but {json_kind(raw)} came"
        )
    flat = _said(raw)
    inner = flat.pop("lm", None)
    if isinstance(inner, Mapping):
        flat = _joined(flat, _said(inner))
        inner = flat.pop("lm", None)
        if isinstance(inner, Mapping):
            raise InvalidLMConfigError(
                "An LM config is nested one 'lm' too deep; write it flat, or as {'lm': {'provider': …, 'model': …}}"
            )
    _refuse_wrapped(flat)
    flat = _joined(_said(beside or {}), flat)
    if isinstance(inner, str):
        if inner in names:
            return _read_reference(inner, flat)
        if inner:
            flat = _joined(flat, {"model": inner})
    elif not _is_empty(inner):
        raise InvalidLMConfigError(f"'lm' must be a model string or a map, but {json_kind(inner)} came")
    ensemble = ENSEMBLE in (flat.get("provider"), flat.get("type"))
    kind = read_text(flat, "kind") or (ENSEMBLE if ensemble else "lm")
    if kind not in _KINDS:
        raise InvalidLMConfigError(
            f"kind must be one of {', '.join(sorted(_KINDS))}, but {kind!r} came{nearest_hint(kind, _KINDS)}"
        )
    return _read_ensemble(flat, names) if kind == ENSEMBLE else _read_single(flat, names)


def _refuse_wrapped(flat: Mapping[str, Any]) -> None:
    """Refuse a config within a place of its own, which would be dropped, and a wider scope would answer."""
    for place, inner in flat.items():
        if place == "lm_config" and not _is_empty(inner):
            wrapped = isinstance(inner, Mapping | str)
        else:
            wrapped = place == "options" and holds_lm(inner)
        if wrapped:
            raise InvalidLMConfigError(
                f"An LM config is nested one {place!r} too deep; write what stands in {place!r} in its place"
            )


def holds_lm(options: object) -> bool:
    """Whether options say which LM is to answer."""
    return isinstance(options, Mapping) and not _OF_OPTIONS.isdisjoint(options)


def _is_empty(raw: object) -> bool:
    """Whether nothing was said; Elixir writes an empty map also as a list."""
    return raw is None or raw in ({}, [])


def _said(raw: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in raw.items() if value is not None}


def _joined(outer: Mapping[str, Any], inner: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Both maps as one.

    Raises:
        InvalidLMConfigError: They say two things of one key.
    """
    joined = dict(outer)
    for key, value in inner.items():
        known = joined.get(key)
        if _is_empty(known) or known in ("", value):
            joined[key] = value
        elif key in _NESTED and isinstance(known, Mapping) and isinstance(value, Mapping):
            joined[key] = _joined(known, value, f"{key}.")
        elif not (_is_empty(value) or value == ""):
            raise _contradiction(f"{place}{key}", known, value)
    return joined


def _contradiction(key: str, one: object, other: object) -> InvalidLMConfigError:
    if key == "api_key":
        return InvalidLMConfigError("The LM config contradicts itself: 'api_key' is given twice; write it once")
    return InvalidLMConfigError(
        f"The LM config contradicts itself: {key!r} is both {_brief(one)} and {_brief(other)}; write it once",
        details={"key": key},
    )


def _brief(value: object) -> str:
    """A value for an error; of a map its keys, for one may hold a key of a provider."""
    if isinstance(value, Mapping):
        return f"a map of {', '.join(map(str, value))}"[:80]
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _read_single(flat: Mapping[str, Any], names: Collection[str]) -> ParsedConfig:
    provider, model = _identity(flat, names)
    replayed = flat.get("mode") == "replay"
    if replayed:
        flat = {key: value for key, value in flat.items() if key != "mode"}
    if "members" in flat:
        raise InvalidLMConfigError(
            "'members' are an ensemble's; write 'kind': 'ensemble' beside them, or leave them out"
        )
    answers = bool((SPEC_KEYS - PARAMS.keys() | {"mock"}) & flat.keys())
    params, mock, warnings = _split(flat, mock_provider=answers if provider is None else provider.name == MOCK)
    if replayed and (provider is None or provider.name in (MOCK, "cached") or mock):
        raise InvalidLMConfigError(
            "mode 'replay' answers from a recording of a real provider's model: name that provider and model, and no "
            "answers beside them"
        )
    if provider is None and mock:
        provider, model = get_provider(MOCK), model or MOCK
    if provider is None:
        if _CONNECTION & flat.keys():
            raise InvalidLMConfigError("Model name is required: a key or base URL alone names no LM")
        cache = _read_cache(flat)
        patch = LMPatch(params=params, cache=cache) if params or cache else None
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
        api_key_env=read_text(flat, "api_key_env"),
        api_base=_read_either(flat, "api_base", "base_url"),
        mock=mock,
        cache=_read_cache(flat),
        replayed=replayed,
    )
    return ParsedConfig(value=config, warnings=(*warnings, *_live_warnings(config)))


def _read_ensemble(flat: Mapping[str, Any], names: Collection[str]) -> ParsedConfig:
    def member(raw: object) -> ParsedConfig:
        return parse_lm_config(raw, names=names)

    for key in ("provider", "type"):
        if (named_too := read_text(flat, key)) not in (None, ENSEMBLE):
            raise InvalidLMConfigError(
                f"The LM config contradicts itself: its kind is 'ensemble' and its {key} {named_too!r}; "
                "name the providers in the members"
            )
    named = {key: value for key, value in flat.items() if key not in ENSEMBLE_KEYS and key not in ("kind", "provider")}
    if unusable := sorted(_CONNECTION & named.keys() | SPEC_KEYS & named.keys() - PARAMS.keys()):
        raise InvalidLMConfigError(f"An ensemble has no {unusable[0]!r} of its own; give it to the members")
    params, _, warnings = _split(named, mock_provider=False)
    spec, more = read_ensemble(flat, member)
    model = read_text(flat, "model") or spec.strategy
    config = LMConfig(provider=ENSEMBLE, model=model, params=params, cache=_read_cache(flat), ensemble=spec)
    return ParsedConfig(value=config, warnings=(*warnings, *more))


def _read_reference(name: str, flat: Mapping[str, Any]) -> ParsedConfig:
    if refused := sorted(key for key in flat if key in KNOWN_KEYS and key not in PARAMS and key != "params"):
        raise InvalidLMConfigError(
            f"{refused[0]!r} cannot be said beside the named LM {name!r}, which has its own; only parameters can"
        )
    params, _, warnings = _split(flat, mock_provider=False)
    return ParsedConfig(value=LMReference(name=name, params=params), warnings=tuple(warnings))


def _identity(flat: Mapping[str, Any], names: Collection[str]) -> tuple[Provider | None, str | None]:
    """The provider and the model without its prefix, as far as they are named."""
    named = read_text(flat, "provider") or read_text(flat, "type")
    provider = get_provider(named) if named else None
    if (type_ := read_text(flat, "type")) is not None and get_provider(type_) is not provider:
        raise _contradiction("provider", named, type_)
    model = read_text(flat, "model")
    if model is None:
        return provider, None
    head, slash, rest = model.partition("/")
    if provider is not None and provider.name == MOCK and find_provider(head) is None:
        return provider, model  # nobody is asked for it, so it may be called anything
    if slash and not (provider and provider.vendor_models and find_provider(head) is not provider):
        if not rest:
            raise InvalidLMConfigError(f"Model name is required: {model!r} has a provider but no model after the slash")
        prefixed = get_provider(head)
        if provider is not None and prefixed is not provider:
            raise InvalidLMConfigError(
                f"The LM config contradicts itself: provider {named!r} and model {model!r}, which is one of "
                f"{prefixed.name}'s; leave one of the two out, or write '{provider.prefix}/{model}' if "
                f"{provider.name} serves a model of that name",
                details={"provider": provider.name, "model": model},
            )
        return prefixed, rest
    if provider is None:
        provider = provider_of_model(model)
        if provider is None:
            if model.lower().startswith("dspy."):
                get_provider(model)  # explains what became of DSPy's own classes
            if model in names:
                raise InvalidLMConfigError(
                    f"{model!r} is the name of a defined LM, not of a model; write {{'lm': {model!r}}}",
                    details={"name": model},
                )
            raise InvalidLMConfigError(
                f"Which provider serves the model {model!r}? Write 'provider' beside it, or 'provider/{model}', "
                f"or define an LM of that name with define_lm{nearest_hint(model, names)}",
                details={"model": model, "named": sorted(names)[:20]},
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
            warnings.append(f"LM config key {key!r} is not known and was ignored{nearest_hint(key, _SINGLE_KEYS)}")
    beside = {key: value for key, value in flat.items() if key in PARAMS}
    for name, value in read_map(flat, "params").items():
        if beside.get(name) not in (None, value):
            raise _contradiction(name, beside[name], value)
        params[name] = check_param(name, value)
    mock = _joined(mock, read_map(flat, "mock"), "mock.")
    if not mock:
        return params, ({} if "mock" in flat else None), warnings
    parse_mock_spec(mock, sent=True)
    return params, mock, warnings


def _read_either(flat: Mapping[str, Any], key: str, alias: str) -> str | None:
    """A text that has two spellings.

    Raises:
        InvalidLMConfigError: Each says something else.
    """
    one, other = read_text(flat, key), read_text(flat, alias)
    if one is not None and other not in (None, one):
        raise _contradiction(key, one, other)
    return one or other


def _read_cache(flat: Mapping[str, Any]) -> CacheOptions | None:
    given = flat.get("cache")
    if given is None:
        return None
    if isinstance(given, bool | str):
        given = {"mode": given}
    if not isinstance(given, Mapping):
        raise InvalidLMConfigError(f"cache must be off, memory, disk or a map, but {brief(given)} came")
    mode: Any = given.get("mode", "memory")
    if isinstance(mode, bool):
        mode = "memory" if mode else "off"
    if mode not in ("off", "memory", "disk"):
        raise InvalidLMConfigError(f"cache.mode must be one of off, memory, disk, but {brief(mode)} came")
    if unknown := sorted(set(given) - {"mode", "ttl_s"}):
        raise InvalidLMConfigError(f"Unknown key 'cache.{unknown[0]}'; the known ones are mode, ttl_s")
    ttl = given.get("ttl_s")
    if ttl is not None and not (is_number(ttl, 0, LONGEST_TTL_S) and ttl):
        raise InvalidLMConfigError(
            f"cache.ttl_s must be a number of seconds above 0, {LONGEST_TTL_S} at most, but {brief(ttl)} came"
        )
    return CacheOptions(mode=mode, ttl_s=ttl)


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
        raise InvalidLMConfigError(f"api_key must be a text, but {json_kind(key)} came")
    return SecretStr(key)
