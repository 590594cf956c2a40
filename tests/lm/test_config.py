"""Every shape in which DSPex, its seed and its documents write an LM config."""

from importlib import import_module
from typing import Any

import pytest
from pydantic import SecretStr

from dspex_testkit.errors import InvalidLMConfigError, UnknownProviderError
from dspex_testkit.lm.config.reading import KNOWN_KEYS, parse_lm_config
from dspex_testkit.lm.config.values import CacheOptions, EnsembleSpec, LMConfig, LMPatch, LMReference, ParsedConfig
from dspex_testkit.nearest import nearest_hint

KEY = "sk-planted-secret-1234567890"

SHAPES: list[tuple[str, Any, tuple[str, str]]] = [
    (
        "L1",
        {"model": "gemini-1.5-flash", "provider": "google", "api_key": KEY, "temperature": 0.7},
        ("google", "gemini-1.5-flash"),
    ),
    ("L2", {"model": "mock", "provider": "mock", "api_key": "mock-key", "temperature": 0.7}, ("mock", "mock")),
    ("L3", {"model": "gemini-1.5-flash", "api_key": KEY, "temperature": 0.5}, ("google", "gemini-1.5-flash")),
    ("L4", {"model": "gemini-1.5-flash", "api_key": "mock-key", "provider": "google"}, ("google", "gemini-1.5-flash")),
    (
        "L5 openai",
        {"provider": "openai", "model": "gpt-3.5-turbo", "api_key": KEY, "temperature": 0.7},
        ("openai", "gpt-3.5-turbo"),
    ),
    ("L5 google", {"provider": "google", "model": "gemini-pro", "api_key": KEY}, ("google", "gemini-pro")),
    ("L5 anthropic", {"provider": "anthropic", "model": "claude-3", "api_key": KEY}, ("anthropic", "claude-3")),
    ("L5 cohere", {"provider": "cohere", "model": "command-r", "api_key": KEY}, ("cohere", "command-r")),
    ("L6", {"provider": "openai", "model": "gpt-4", "temperature": 0.9}, ("openai", "gpt-4")),
    ("L7", {"provider": "anthropic", "model": "claude-3"}, ("anthropic", "claude-3")),
    ("L9", {"provider": "google", "model": "gemini-pro", "api_key": None}, ("google", "gemini-pro")),
    (
        "L10",
        {"provider": "mock", "responses": {"What is the capital of France?": "Paris", "default": "mock response"}},
        ("mock", "mock"),
    ),
    ("L11", {"provider": "mock", "mode": "random", "seed": 7}, ("mock", "mock")),
    ("L12", {"model": "mock", "responses": {"default": {"answer": "test response"}}}, ("mock", "mock")),
    ("L13", {"lm": "gemini-1.5-flash", "api_key": KEY, "temperature": 0.2}, ("google", "gemini-1.5-flash")),
    ("L14 mock", {"type": "mock", "responses": {"default": "x"}}, ("mock", "mock")),
    ("L14 cached", {"type": "cached", "cache_dir": "tmp", "fallback": "record"}, ("cached", "mock")),
    (
        "L14 gemini",
        {"type": "gemini", "api_key": KEY, "rate_limit": 5, "cost_limit": 1, "model": "gemini-pro"},
        ("google", "gemini-pro"),
    ),
    ("L15", {"type": "openai", "model": "gpt-4", "api_key": KEY}, ("openai", "gpt-4")),
    ("L16", {"lm": {"provider": "openai", "model": "gpt-4", "api_key": KEY, "temperature": 0.1}}, ("openai", "gpt-4")),
    ("L17 prefixed", "gemini/gemini-2.0-flash-exp", ("google", "gemini-2.0-flash-exp")),
    ("L17 bare", "openai/gpt-4o-mini", ("openai", "gpt-4o-mini")),
    ("L17 mock", "mock", ("mock", "mock")),
]


def parsed(raw: object) -> LMConfig:
    """The config that a client's value means."""
    value = parse_lm_config(raw).value
    assert isinstance(value, LMConfig)
    return value


@pytest.mark.parametrize(("raw", "expected"), [(raw, want) for _, raw, want in SHAPES], ids=[n for n, _, _ in SHAPES])
def test_every_shape_of_the_contract_names_its_lm(raw: Any, expected: tuple[str, str]) -> None:
    """Provider and model come out the same from every way of writing them."""
    config = parsed(raw)

    assert (config.provider, config.model) == expected


@pytest.mark.parametrize("raw", [None, {}, []])
def test_saying_nothing_is_no_config(raw: object) -> None:
    """Null, an empty map and Elixir's empty keyword list leave the choice to wider scopes."""
    assert parse_lm_config(raw).value is None


def test_only_parameters_make_a_patch() -> None:
    """A config without a model changes the LM of the next wider scope."""
    assert parse_lm_config({"temperature": 0.1}).value == LMPatch(params={"temperature": 0.1})


def test_a_prefix_in_the_model_names_the_provider_and_contradicts_another_one() -> None:
    """A model that carries a prefix is taken as it is; a provider beside it has to be the same one."""
    assert parsed({"provider": "google", "model": "gemini/gemini-pro"}).provider == "google"
    assert parsed({"provider": "openai", "model": "openai/deepseek/deepseek-r1"}).model == "deepseek/deepseek-r1"
    with pytest.raises(InvalidLMConfigError, match="provider 'openai' and model 'anthropic/claude-3'"):
        parse_lm_config({"provider": "openai", "model": "anthropic/claude-3"})


def test_a_config_that_is_replayed_is_another_one() -> None:
    """Otherwise the LM that is kept for one would answer for the other, and a provider be asked unnoticed."""
    live = parsed({"provider": "openai", "model": "gpt-4o"})
    replayed = parsed({"provider": "openai", "model": "gpt-4o", "mode": "replay"})

    assert live.digest != replayed.digest
    assert parsed(replayed.dump_without_key()) == replayed


def test_a_mock_s_model_may_be_called_anything() -> None:
    """Only a real provider's prefix contradicts it."""
    mine = parsed({"provider": "mock", "model": "accounts/x/y"})

    assert (mine.provider, mine.model) == ("mock", "accounts/x/y")
    with pytest.raises(InvalidLMConfigError, match="contradicts itself: provider 'mock'"):
        parse_lm_config({"provider": "mock", "model": "openai/gpt-4o"})


def test_a_vendor_s_model_keeps_its_slash_behind_an_aggregator() -> None:
    """OpenRouter serves `openai/gpt-4o` under that very name."""
    config = parsed({"provider": "openrouter", "model": "openai/gpt-4o"})

    assert (config.provider, config.dspy_model) == ("openrouter", "openrouter/openai/gpt-4o")


def test_providers_are_spelled_as_dspy_spells_them() -> None:
    """Google's models are `gemini/…` and Cohere's `cohere_chat/…` for DSPy."""
    assert parsed({"provider": "google", "model": "gemini-pro"}).dspy_model == "gemini/gemini-pro"
    assert parsed({"provider": "cohere", "model": "command-r"}).dspy_model == "cohere_chat/command-r"


def test_unknown_flat_keys_are_ignored_and_named() -> None:
    """Clients send markers of their own; a typing error among them is pointed out."""
    result = parse_lm_config({"provider": "openai", "model": "gpt-4", "temprature": 0.5, "test_id": 1})

    assert [warning for warning in result.warnings if "temperature" in warning]
    assert len(result.warnings) == 2


def test_unknown_keys_inside_params_are_errors() -> None:
    """What stands inside `params` is meant as a parameter."""
    with pytest.raises(InvalidLMConfigError, match="did you mean 'max_tokens'"):
        parse_lm_config({"provider": "openai", "model": "gpt-4", "params": {"max_token": 5}})


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"provider": "openai", "model": "gpt-4", "temperature": "hot"}, "temperature must be a number from 0 to 2"),
        ({"provider": "openai", "model": "gpt-4", "temperature": 9}, "temperature must be a number from 0 to 2"),
        ({"provider": "openai", "model": "gpt-4", "temperature": True}, "temperature must be a number from 0 to 2"),
        ({"provider": "openai", "model": "gpt-4", "max_tokens": 0}, "max_tokens must be an integer of at least 1"),
        ({"provider": "openai"}, "Model name is required"),
        ({"api_key": KEY}, "Model name is required"),
        ({"model": "openai/"}, "Model name is required"),
        ({"model": "something-nobody-serves"}, "Which provider serves"),
        ({"provider": "openai", "model": 5}, "model must be a text"),
        ({"provider": "openai", "model": "gpt-4", "api_key": 5}, "api_key must be a text"),
        (17, "must be a map or a model string"),
        ({"lm": 5}, "'lm' must be a model string or a map"),
        ({"provider": "openai", "model": "gpt-4", "params": [1]}, "params must be a map"),
    ],
)
def test_impossible_configs_are_explained(raw: object, text: str) -> None:
    """The error says what was wanted and what came."""
    with pytest.raises(InvalidLMConfigError, match=text):
        parse_lm_config(raw)


def test_an_unknown_provider_is_answered_with_the_nearest_one() -> None:
    """A typing error in the provider's name is pointed out."""
    with pytest.raises(UnknownProviderError, match="did you mean 'openai'"):
        parse_lm_config({"provider": "opnai", "model": "gpt-4"})


@pytest.mark.parametrize("raw", [raw for _, raw, _ in SHAPES if isinstance(raw, dict)])
def test_a_key_never_shows(raw: dict[str, Any]) -> None:
    """Neither repr nor any public form of a config holds its key."""
    config = parsed(raw)

    assert KEY not in repr(config) + str(config) + repr(config.public()) + repr(config.dump_without_key())


def test_equal_configs_share_a_digest_and_other_keys_do_not() -> None:
    """What two LMs may share depends on all that they were configured with."""
    one = parsed({"provider": "openai", "model": "gpt-4", "api_key": KEY})

    assert one.digest == parsed({"model": "openai/gpt-4", "api_key": KEY}).digest
    assert one.digest != parsed({"model": "openai/gpt-4", "api_key": KEY + "x"}).digest
    assert one.digest != parsed({"model": "openai/gpt-4", "api_key": KEY, "temperature": 1}).digest


@pytest.mark.parametrize("raw", [raw for _, raw, _ in SHAPES])
def test_a_config_without_its_key_parses_back(raw: object) -> None:
    """What travels in a program's definition rebuilds the same LM elsewhere."""
    config = parsed(raw)

    assert parsed(config.dump_without_key()) == config.model_copy(update={"api_key": None})


def test_a_temperature_that_a_live_model_refuses_is_a_warning() -> None:
    """A mock accepts what OpenAI's reasoning models do not; the author is told."""
    result = parse_lm_config({"provider": "openai", "model": "o3-mini", "temperature": 0.2})

    assert "reasoning model" in result.warnings[0]


def test_a_seed_beside_a_real_provider_is_a_parameter() -> None:
    """`seed` belongs to the mock only where the config is a mock's."""
    assert parsed({"provider": "openai", "model": "gpt-4", "seed": 7}).params == {"seed": 7}
    assert "seed" in KNOWN_KEYS


@pytest.mark.parametrize("name", ["reading", "params", "providers"])
def test_former_places_give_the_same_things(name: str) -> None:
    """Whoever imported the reader, the parameters or the providers from where they were still can."""
    former, now = (import_module(f"dspex_testkit.lm.{place}{name}") for place in ("", "config."))

    assert former.__all__
    elsewhere = {"ParsedConfig": ParsedConfig, "nearest": nearest_hint}
    assert all(getattr(former, each) is elsewhere.get(each, getattr(now, each, None)) for each in former.__all__)


CHANGED: dict[str, Any] = {
    "provider": "anthropic",
    "model": "gpt-4o-mini",
    "params": {"temperature": 0.5},
    "api_key": SecretStr("sk-another"),
    "api_key_env": "ANOTHER_KEY",
    "api_base": "http://127.0.0.1:9/v1",
    "mock": {"responses": {"default": "another"}},
    "cache": CacheOptions(mode="off"),
    "ensemble": EnsembleSpec(strategy="all", members=(LMReference(name="another"),)),
    "replayed": True,
}


@pytest.mark.parametrize("field", LMConfig.model_fields)
def test_every_field_of_a_config_counts_in_its_digest(field: str) -> None:
    """A field that did not would let the LM that is kept for one config answer for another."""
    config = parsed({"provider": "openai", "model": "gpt-4o", "api_key": "sk-one"})
    assert getattr(config, field) != CHANGED[field]

    assert config.with_fields(**{field: CHANGED[field]}).digest != config.digest


def test_configs_that_only_their_ensembles_members_tell_apart_differ() -> None:
    """A member's own key and parameters count, as deep as it stands."""
    ensembles = [
        parsed({"kind": "ensemble", "strategy": "all", "members": ["openai/gpt-4o", member]})
        for member in (
            {"provider": "openai", "model": "gpt-4", "api_key": "sk-one"},
            {"provider": "openai", "model": "gpt-4", "api_key": "sk-two"},
            {"provider": "openai", "model": "gpt-4", "api_key": "sk-two", "temperature": 0.1},
        )
    ]
    assert len({each.digest for each in ensembles}) == 3
